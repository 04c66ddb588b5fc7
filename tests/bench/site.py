"""The stack under measurement, and how the bench reaches it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from services.cli.stack import Stack
from shared import auth, db
from shared.bus import event_subject
from shared.placing import partition, pseudonym
from tests.bench.histories import Raw
from tests.bench.observer import url
from tests.bench.sender import Task

TENANT: Final = "bench"
BATCH: Final = "application/cloudevents-batch+json"
SINGLE: Final = "application/cloudevents+json"
PARTS: Final = ("ingest", "worker", "decision", "notify", "nats", "postgres")
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True)
class Site:
    stack: Stack
    keys: dict[tuple[str, str], str]
    """(tenant, role) to key."""

    def task(self, bodies: list[bytes], events_each: int, connections: int, seconds: float, kind: str, **more: Any) -> Task:
        """A task for a load generator: post these bodies to ingest."""
        settings = self.stack.settings
        key = self.keys[TENANT, "clinician"]
        return Task(settings.host, settings.ingest_port, "/v1/events", key, kind, bodies, events_each, connections, seconds, **more)

    def messages(self, raws: list[Raw]) -> list[tuple[str, bytes]]:
        """What ingest would put on the bus for these events."""
        key = self.stack.settings.pseudonym_key_bytes
        added = {"datacontenttype": "application/json", "tenant": TENANT, "recordedtime": "2026-01-01T00:00:00.000000Z"}
        return [
            (event_subject(partition(TENANT, raw["subject"]), pseudonym(key, TENANT, raw["subject"])), orjson.dumps(raw | added))
            for raw in raws
        ]

    @property
    def database(self) -> str:
        return url(self.stack.settings)

    def cpu_s(self) -> dict[str, float]:
        """Processor time that each part has used so far, with its children; the worker's second engine apart."""
        found: dict[str, float] = {}
        for name in PARTS:
            process = psutil.Process(self.stack.pid(name) or 0)
            for member in (process, *process.children(recursive=True)):
                part = name
                if name == "worker" and member.pid != process.pid:
                    part = "second engine"
                times = member.cpu_times()
                found[part] = found.get(part, 0.0) + times.user + times.system
        return found

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each service with its children, in MB; shared pages count once for each process."""
        found = {}
        for name in PARTS[:4]:
            process = psutil.Process(self.stack.pid(name) or 0)
            family = [process, *process.children(recursive=True)]
            found[name] = sum(member.memory_info().rss for member in family) / 1e6
        return found


@asynccontextmanager
async def running(home: Path, tenants: tuple[str, ...] = (TENANT,)) -> AsyncIterator[Site]:
    """A stack on fresh servers, with keys."""
    ports = dict.fromkeys(("ingest_port", "decision_port", "notify_port"), 0)
    async with Stack({**ports, "allow_loopback_webhooks": True, "notice_coalesce_s": 0, "log_level": "warning"}, home) as stack:
        database = db.engine(stack.settings, pool_size=1)
        async with database.begin() as conn:
            wanted = [(tenant, role) for tenant in tenants for role in ("clinician", "integrator")]
            keys = {(tenant, role): (await auth.create_key(conn, tenant, role, "bench"))[1] for tenant, role in wanted}
        await database.dispose()
        yield Site(stack, keys)
