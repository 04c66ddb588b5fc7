"""Who PostgreSQL runs as, and how that user reaches the programs.

PostgreSQL refuses root. As root it runs as `postgres` or `nobody`, whichever exists; when that user cannot pass through to the
wheel (a checkout under /root), a copy of the programs lies in /var/lib/milepost.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.embedded.faults import ServerFault

ELSEWHERE = Path("/var/lib/milepost")
_CANDIDATES = ("postgres", "nobody")
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for PostgreSQL when this process is root; None otherwise. Raises `ServerFault` when there is none."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerFault("PostgreSQL refuses to run as root, and neither `postgres` nor `nobody` exists; run milepost as an ordinary user")


def can_reach(command: Callable[..., list[str]], account: Account, *paths: Path) -> bool:
    """Whether the account can pass through the directories and read the files, found out by becoming it. `command` is `process.leash`."""
    return subprocess.run(command("reach", map(str, paths), account), check=False, capture_output=True, cwd="/").returncode == 0


def copied_programs(package: Path, version: str) -> Path:
    """A copy of the wheel's package and its libraries that every user can run; made once per version.

    Raises `ServerFault` when /var/lib/milepost cannot be written.
    """
    home = ELSEWHERE / f"postgres-{version}"
    if not home.exists():
        new = ELSEWHERE / f".postgres-{version}.{os.getpid()}"
        try:
            ELSEWHERE.mkdir(parents=True, exist_ok=True)
            ELSEWHERE.chmod(0o755)
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(package / "pginstall", new / package.name / "pginstall", symlinks=True, ignore=_NOT_NEEDED)
            # The programs find their libraries relative to themselves, beside the package.
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, new / libraries.name, symlinks=True)
            _open_to_all(new)
            if not home.exists():
                os.rename(new, home)
        except OSError as fault:
            raise _cannot_write(fault) from None
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return home / package.name


def _open_to_all(root: Path) -> None:
    for directory, _, files in os.walk(root):
        os.chmod(directory, 0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _cannot_write(fault: OSError) -> ServerFault:
    return ServerFault(
        f"{ELSEWHERE}: {fault.strerror}; PostgreSQL refuses root, and the user it runs as cannot reach this checkout: "
        "move it to a directory others can pass through, or run milepost as an ordinary user"
    )
