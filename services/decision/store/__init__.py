"""All SQL of history: leases and heads, loading athletes, the one transaction of a batch, timers, the outbox, and what the routes read.

May touch PostgreSQL only, through connections handed to it; every query that answers a person names the tenant.
"""
