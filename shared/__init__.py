"""What the three services have in common: events, bus, database, settings, identity, telemetry.

Imports no service.
"""
