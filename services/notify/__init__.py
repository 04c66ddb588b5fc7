"""Tells subscribers what changed: notices made from decisions, signed webhooks, every attempt kept byte for byte.

It reads the bus stream DECISIONS, owns the tables `endpoints`, `notices`, `course_notices`, `deliveries` and `attempts`, imports
`shared` only, and knows nothing of rules.
"""
