"""The two schemas, and the one column form that every table shares."""

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData()
key_metadata = MetaData(schema="keys")


def instant(name: str, nullable: bool = False) -> Column:  # type: ignore[type-arg]
    """A column for one instant, with its zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
