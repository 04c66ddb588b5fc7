"""What a pack must stand before it is published: one module per check, each with its page in docs/checks.

Reads a loaded pack, its proof and what it is told of history; touches no file and no clock (the date is given).
"""

from services.decision.rules.check.finding import Finding, Severity
from services.decision.rules.check.lived import Lived
from services.decision.rules.check.running import check_file, check_pack, check_protocol

__all__ = ["Finding", "Lived", "Severity", "check_file", "check_pack", "check_protocol"]
