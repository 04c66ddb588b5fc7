"""All SQL of notify: what courses were told, what is to be delivered, every attempt, and the endpoints.

Functions take an asyncpg connection inside the caller's transaction and never commit; nothing here knows HTTP, the bus or the clock.
"""
