"""Pure: events to course, course to facts, facts to verdict, verdict to decision.

Imports the standard library and `shared.events` only; no I/O, clock, randomness, environment or set iteration.
"""
