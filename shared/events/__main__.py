"""`python -m shared.events` writes the JSON Schema documents into docs/schemas."""

from pathlib import Path

from shared.events.schema import write_all

write_all(Path("docs/schemas"))
