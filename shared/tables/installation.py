"""Who may call: keys of the HTTP routes."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from shared.tables.base import instant, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    instant("created_at"),
    instant("expires_at", nullable=True),
    instant("revoked_at", nullable=True),
    instant("last_used_at", nullable=True),
    Index("api_keys_tenant", "tenant"),
)
