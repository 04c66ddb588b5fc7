"""What the data directory remembers: one owner at a time, ports, secrets, and where a running stack is found.

Every file is replaced whole, so a kill at any moment leaves the old or the new content.
"""

import fcntl
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from services.embedded.faults import ServerFault

# Below the range from which the kernel takes ports for outgoing connections, so that a stopped server finds its port free again.
PORTS = range(18_000, 32_000)


@dataclass(frozen=True)
class Secrets:
    """Made once per data directory. `instance` names the directory's history; the others open it. All are hex."""

    instance: str
    pseudonym_key: str
    secret_key: str
    postgres_admin: str
    postgres_owner: str
    postgres_service: str
    postgres_eraser: str
    nats_service: str
    nats_eraser: str
    nats_owner: str


_LATER = {"postgres_eraser", "nats_owner"}
"""What directories from before there was an eraser, or an owner of the streams, have not."""


@contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """Makes the directory and holds it for this process; the lock falls with the process. Raises `ServerFault` when another holds it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        # Others may pass through, not look around: as root, PostgreSQL runs as a user who owns only its own part.
        data_dir.chmod(0o711)
        handle = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise ServerFault(f"{data_dir}: cannot be used as data directory ({fault.strerror}); set MILEPOST_DATA_DIR to another") from None
    try:
        if not _locked(handle):
            owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise ServerFault(
                f"{data_dir}: already in use by another milepost (process {owner}); "
                "stop that one, or set MILEPOST_DATA_DIR to another directory"
            )
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    # `running` holds the lock for an instant to look; that must not read as another owner.
    for wait_s in (0.05, 0.2, 0):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait_s)
        else:
            return True
    return False


def keep(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces the file's content, whole and on disk."""
    new = path.with_name(path.name + ".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(handle, mode)
        os.fsync(handle)
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def own_secrets(data_dir: Path) -> Secrets:
    """The directory's secrets, made on first use. Raises `ServerFault` when the file cannot be read as such."""
    path = data_dir / "secrets.json"
    names = [field.name for field in fields(Secrets)]
    if not path.exists():
        made = Secrets(**{name: secrets.token_hex(32) for name in names})
        keep(path, json.dumps(asdict(made), indent=1))
        return made
    try:
        found = json.loads(path.read_text())
        if (missing := set(names) - set(found)) and missing <= _LATER:
            found |= {name: secrets.token_hex(32) for name in missing}
            keep(path, json.dumps(found, indent=1))
        return Secrets(**{name: str(found[name]) for name in names})
    except (ValueError, KeyError, TypeError):
        raise ServerFault(f"{path}: expected the secrets that milepost wrote there; put the file back from a copy of {data_dir}") from None


def own_port(data_dir: Path, name: str) -> int:
    """A loopback port for `name`: the one it had before when that is free, else a new one, which is remembered."""
    path = data_dir / "ports.json"
    ports = _read(path)
    port = ports.get(name)
    if not isinstance(port, int) or not is_free(port):
        others = set(ports.values())
        free = (port for port in random.sample(PORTS, len(PORTS)) if port not in others and is_free(port))
        port = next(free, None)
        if port is None:
            raise ServerFault(f"no free port between {PORTS.start} and {PORTS.stop - 1} on 127.0.0.1")
        keep(path, json.dumps(ports | {name: port}))
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def publish_runtime(data_dir: Path, environment: dict[str, str]) -> None:
    """Leaves word of the running stack, for commands that want to reach it."""
    keep(data_dir / "runtime.json", json.dumps({"pid": os.getpid(), "environment": environment}, indent=1))


def withdraw_runtime(data_dir: Path) -> None:
    (data_dir / "runtime.json").unlink(missing_ok=True)


def running(data_dir: Path) -> dict[str, str] | None:
    """The environment of the stack that runs on the directory, or None. Word left by a killed stack does not count."""
    found = _read(data_dir / "runtime.json")
    try:
        with open(data_dir / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        environment = found.get("environment")
        return environment if isinstance(environment, dict) else None
    except OSError:
        pass
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
