"""NATS and PostgreSQL from their wheels, started on free loopback ports in a data directory and stopped again.

Touches `shared.settings`, processes and files; knows nothing of events, decisions or the schema.
"""
