"""Tests of rules: the stories that a pack tells and, around its thresholds, what its conditions must and must not let through.

Folds events through `core` in memory; reads no clock and no server.
"""
