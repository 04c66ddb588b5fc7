"""Planted words looked for in every byte of a data directory, and in a dump of the database: plain, and as their plain hashes."""

import base64
import os
import subprocess
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from sqlalchemy import make_url

from services.embedded.postgres import _package
from shared.settings import Settings

CHUNK = 16 * 2**20


def needles(words: Iterable[str]) -> dict[bytes, str]:
    """What must be nowhere, by what it is."""
    found = {}
    for word in words:
        digest = sha256(word.encode()).digest()
        found[word.encode()] = word
        # As a dump or a log writes bytes.
        found[word.encode().hex().encode()] = f"{word} in hex"
        found[digest] = f"SHA-256 of {word}"
        found[digest.hex().encode()] = f"SHA-256 of {word} in hex"
        found[base64.b64encode(digest).rstrip(b"=")] = f"SHA-256 of {word} in base64"
    return found


def seen(data_dir: Path, words: Iterable[str]) -> list[str]:
    """Where any of the words is, file by file: both servers' data, the write-ahead log, every log."""
    wanted = needles(words)
    return [f"{path.relative_to(data_dir)}: {what}" for path in _files(data_dir) for what in _held(path, wanted)]


def held(data: bytes, words: Iterable[str]) -> list[str]:
    """Which of the words these bytes hold."""
    return [what for needle, what in needles(words).items() if needle in data]


def _files(root: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(root):
        yield from (Path(directory, name) for name in sorted(names))


def _held(path: Path, wanted: dict[bytes, str]) -> list[str]:
    longest = max(map(len, wanted))
    found: dict[str, None] = {}
    try:
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(CHUNK):
                data = tail + chunk
                found |= {what: None for needle, what in wanted.items() if needle in data}
                tail = data[-longest:]
    except FileNotFoundError:
        pass  # The server removed it while we looked.
    return list(found)


def dump(settings: Settings, *options: str) -> bytes:
    """`pg_dump` of the whole database, as the role that owns it."""
    return _program("pg_dump", settings, ["--dbname", _database(settings), *options], b"")


def restore(settings: Settings, dumped: bytes) -> None:
    """A data-only restore of what `dump` wrote into an emptied schema."""
    empty = b"DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"
    _program("psql", settings, ["--dbname", _database(settings), "-q", "-v", "ON_ERROR_STOP=1", "--no-psqlrc"], empty + dumped)


def _database(settings: Settings) -> str:
    return make_url(settings.owner_database_url).database or ""


def _program(name: str, settings: Settings, words: list[str], given: bytes) -> bytes:
    url = make_url(settings.owner_database_url)
    program = _package() / "pginstall" / "bin" / name
    environment = {"PATH": os.defpath, "PGPASSWORD": url.password or "", "LC_ALL": "C"}
    where = ["-h", url.host or "", "-p", str(url.port), "-U", url.username or ""]
    done = subprocess.run([str(program), *where, *words], input=given, capture_output=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
