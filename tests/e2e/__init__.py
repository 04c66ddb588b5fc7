"""The whole product as its users meet it: every process running, HTTP in, webhooks out, processes killed on the way.

Starts its own stacks in directories of its own; looks into PostgreSQL and the bus only to compare them with what was sent and heard.
"""
