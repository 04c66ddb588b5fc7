"""`python -m services.decision.rules` writes the schema of packs and the catalogue of facts into docs."""

from pathlib import Path

from services.decision.rules.pages import write_all

write_all(Path("docs"))
