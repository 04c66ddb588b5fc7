"""Proof over a pack's whole fact space: the verdict of a `Protocol` in z3, laws asked of it, and athletes that break them in words.

Reads compiled protocols only; imports `core` and z3, touches no file and no clock. What cannot be settled raises `Unproved`.
"""

from services.decision.rules.prove.solver import Unproved

__all__ = ["Unproved"]
