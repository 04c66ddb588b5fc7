"""Two engines that answer the same question: the reference engine is the record, the second checks it from a process of its own.

Both read `services.decision.core` and nothing else of the product; neither knows events, athletes, the database or the bus.
"""

from services.decision.engines.durable import EngineFault, PackRefused, SecondEngine, SecondEngineMissing
from services.decision.engines.reference import ReferenceEngine

__all__ = ["EngineFault", "PackRefused", "ReferenceEngine", "SecondEngine", "SecondEngineMissing"]
