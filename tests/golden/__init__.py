"""Histories whose decisions may never change their bytes without a stated reason, under packs as they were when they were recorded.

`python -m tests.golden --because "…"` writes the hashes anew and adds the reason to `reasons.md`; nothing else may.
"""
