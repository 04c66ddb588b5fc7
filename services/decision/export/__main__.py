"""`python -m services.decision.export` writes docs/export.md."""

from pathlib import Path

from services.decision.export.columns import documented

Path("docs/export.md").write_text(documented())
