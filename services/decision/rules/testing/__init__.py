"""Tests of rules: the stories that a pack tells, recorded cases at the border of all it says, what they cover, and which slips they notice.

Folds events and asks `core` in memory, and asks `prove` which slips change nothing; reads no clock and no server.
"""
