"""History held against its own proofs: the whole database verified, decisions replayed, a course's dossier made and checked.

Reads through `store`; writes only what it found out. Folds with `core` and never decides anything new.
"""
