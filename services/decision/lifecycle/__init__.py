"""The life of a rule pack: drafted, checked, tested, simulated, reviewed, approved, run in shadow, live, retired. `states` is a pure fold
of events and its rules of transition; the rest keeps them, checks packs and compares what they decide, on store, rules and core.
"""
