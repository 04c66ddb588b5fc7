"""Everything that history holds of one athlete, for the athlete: as JSON, or as tables for a spreadsheet.

Reads through `store.exports` in one snapshot and writes nothing; `columns` says what each column means, and docs/export.md shows it.
"""

from services.decision.export.gathering import NothingKnown, gather
from services.decision.export.writing import as_csv, as_json

__all__ = ["NothingKnown", "as_csv", "as_json", "gather"]
