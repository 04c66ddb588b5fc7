"""The servers from the wheels keep what they confirmed, whatever is killed, and never meet a second owner."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest

from services.embedded import EmbeddedServers, ServerFault, account, running
from services.embedded.files import own_port, publish_runtime
from shared.settings import Settings

HOLD = """
import asyncio, signal, sys
from pathlib import Path
from services.embedded import EmbeddedServers

async def main():
    async with EmbeddedServers(Path(sys.argv[1])) as servers:
        print(servers.nats.pid, servers.postgres.pid, flush=True)
        await asyncio.sleep(600)

signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""
"""What a shell starts in the background ignores interrupts, and so would all that it starts in turn."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServers]:
    """One pair for every test that leaves it running."""
    async with EmbeddedServers(tmp_path_factory.mktemp("own") / "data") as servers:
        yield servers


async def connect(servers: EmbeddedServers, owner: bool = False) -> "asyncpg.Connection[asyncpg.Record]":
    url = servers.postgres.owner_url if owner else servers.postgres.url
    return await asyncpg.connect(url.replace("+asyncpg", ""))


async def write_row(servers: EmbeddedServers) -> None:
    connection = await connect(servers, owner=True)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int); TRUNCATE kept; INSERT INTO kept VALUES (7)")
    await connection.close()


async def read_row(servers: EmbeddedServers) -> int:
    connection = await connect(servers, owner=True)
    try:
        return int(await connection.fetchval("SELECT n FROM kept"))
    finally:
        await connection.close()


async def write_message(servers: EmbeddedServers) -> None:
    client = await nats.connect(servers.nats.owner_url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    await stream.publish("kept", b"seven")
    await client.close()


async def read_message(servers: EmbeddedServers) -> bytes:
    client = await nats.connect(servers.nats.owner_url)
    try:
        return (await client.jetstream().get_msg("KEPT", seq=1)).data or b""
    finally:
        await client.close()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(holds: Callable[[], bool], within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        await asyncio.sleep(0.02)


def start(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def hold_elsewhere(data_dir: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    """Another process that runs the servers; it and their pids."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    return holder, [int(word) for word in holder.stdout.readline().split()]


@pytest.mark.law("nothing-lost")
async def test_a_killed_postgres_comes_back_on_its_port_with_every_committed_row(own):
    await write_row(own)
    port = own.postgres.port
    await own.postgres.kill()
    assert not own.postgres.alive()
    await own.postgres.restart()
    assert await read_row(own) == 7
    assert own.postgres.port == port


@pytest.mark.law("nothing-lost")
async def test_a_killed_nats_comes_back_on_its_port_with_every_acknowledged_message(own):
    await write_message(own)
    port = own.nats.port
    await own.nats.kill()
    assert not own.nats.alive()
    await own.nats.restart()
    assert await read_message(own) == b"seven"
    assert own.nats.port == port


async def test_servers_end_with_a_killed_parent_and_start_again_with_their_data(data_dir):
    async with EmbeddedServers(data_dir) as servers:
        await write_row(servers)
        await write_message(servers)
        urls = servers.fields()
    holder, pids = hold_elsewhere(data_dir)
    with holder:
        assert all(map(lives, pids))
        holder.kill()
    await until(lambda: not any(map(lives, pids)))
    async with EmbeddedServers(data_dir) as servers:
        assert await read_row(servers) == 7
        assert await read_message(servers) == b"seven"
        assert servers.fields() == urls


async def test_a_start_right_after_a_kill_does_not_trip_over_what_is_still_ending(data_dir):
    holder, _ = hold_elsewhere(data_dir)
    with holder:
        holder.kill()
    async with EmbeddedServers(data_dir) as servers:
        await write_row(servers)


async def test_a_server_that_outlived_its_parent_is_stopped_before_a_new_one_starts(data_dir):
    async with EmbeddedServers(data_dir) as servers:
        words = psutil.Process(servers.nats.pid).cmdline()
    left = start(words)
    async with EmbeddedServers(data_dir) as servers:
        assert left.poll() is not None
        assert servers.nats.alive()


async def test_a_pid_file_that_names_a_stranger_stops_nobody(data_dir):
    async with EmbeddedServers(data_dir) as servers:
        await write_row(servers)
        cluster = servers.postgres.cluster
        pid_file = (cluster / "postmaster.pid").read_text().splitlines()
    with start(["sleep", "600"]) as stranger:
        try:
            (cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *pid_file[1:]]))
            async with EmbeddedServers(data_dir) as servers:
                assert await read_row(servers) == 7
                assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_a_first_start_cut_short_is_made_good_by_the_next(data_dir):
    half = data_dir / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with EmbeddedServers(data_dir) as servers:
        await write_row(servers)


async def test_a_second_milepost_on_one_directory_is_told_in_one_sentence(own):
    data_dir = own.data_dir
    with pytest.raises(ServerFault) as fault:
        async with EmbeddedServers(data_dir):
            pass
    assert str(fault.value) == (
        f"{data_dir}: already in use by another milepost (process {os.getpid()}); "
        "stop that one, or set MILEPOST_DATA_DIR to another directory"
    )
    assert own.nats.alive() and own.postgres.alive()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerFault, match="cannot be used as data directory"):
        async with EmbeddedServers(tmp_path / "file" / "data"):
            pass


async def test_a_taken_port_is_replaced_and_the_new_one_kept(data_dir):
    data_dir.mkdir()
    first = own_port(data_dir, "postgres")
    assert own_port(data_dir, "postgres") == first
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", first)
    async with server:
        second = own_port(data_dir, "postgres")
        assert second != first
    assert own_port(data_dir, "postgres") == second


async def test_the_settings_of_the_servers_are_settings(own):
    settings = Settings(**own.fields())
    assert {f"MILEPOST_{name.upper()}": value for name, value in own.fields().items()} == own.settings()
    assert len(settings.secret_key_bytes) == 32


async def test_secrets_are_made_once_and_for_the_owner_alone(own):
    data_dir = own.data_dir
    kept = json.loads((data_dir / "secrets.json").read_text())
    assert kept["pseudonym_key"] == own.fields()["pseudonym_key"]
    assert len(set(kept.values())) == len(kept)
    for name in ("secrets.json", "nats/nats.conf", "lock"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600
    for name in ("logs", "nats", "postgres"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o700


async def test_spoilt_secrets_are_never_replaced_in_silence(data_dir):
    data_dir.mkdir()
    (data_dir / "secrets.json").write_text("{}")
    with pytest.raises(ServerFault, match=r"secrets\.json: expected the secrets"):
        async with EmbeddedServers(data_dir):
            pass
    assert (data_dir / "secrets.json").read_text() == "{}"


async def test_postgres_is_durable_and_the_same_everywhere(own):
    connection = await connect(own)
    found = {
        name: await connection.fetchval("SELECT current_setting($1)", name) for name in ("fsync", "synchronous_commit", "full_page_writes")
    }
    assert set(found.values()) == {"on"}
    assert await connection.fetchval("SELECT current_setting('listen_addresses')") == "127.0.0.1"
    row = await connection.fetchrow(
        "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'milepost'"
    )
    assert tuple(row or ()) == (b"b", "C.UTF-8", "UTF8")
    await connection.close()


async def test_postgres_wants_the_password(own):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=own.postgres.port, user="milepost_service", password="wrong", database="milepost")


async def test_nats_wants_a_credential_and_lets_services_delete_and_change_nothing(own):
    await write_message(own)
    reader, writer = await asyncio.open_connection("127.0.0.1", own.nats.port)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    assert b"Authorization Violation" in await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    refused: list[Exception] = []

    async def note(fault: Exception) -> None:
        refused.append(fault)

    client = await nats.connect(own.nats.url, error_cb=note)
    for request in ("MSG.DELETE", "PURGE", "DELETE", "UPDATE"):
        await client.publish(f"$JS.API.STREAM.{request}.KEPT", b'{"seq":1}')
    await client.flush()
    await until(lambda: len(refused) == 4)
    await client.close()
    assert await read_message(own) == b"seven"


async def test_a_running_stack_is_found_and_a_gone_one_is_not(data_dir):
    async with EmbeddedServers(data_dir) as servers:
        publish_runtime(servers.data_dir, {"MILEPOST_DATABASE_URL": servers.postgres.url})
        assert running(data_dir) == {"MILEPOST_DATABASE_URL": servers.postgres.url}
    assert running(data_dir) is None
    assert running(data_dir / "nowhere") is None


if os.geteuid() == 0:

    async def test_as_root_postgres_runs_as_somebody_else(own):
        assert psutil.Process(own.postgres.pid).uids().real != 0
        assert own.postgres.cluster.stat().st_uid == psutil.Process(own.postgres.pid).uids().real

    async def test_as_root_the_cluster_stays_in_a_directory_postgres_cannot_pass_through(tmp_path):
        tmp_path.chmod(0o700)
        async with EmbeddedServers(tmp_path / "data") as servers:
            await write_row(servers)
            await servers.postgres.kill()
            await servers.postgres.restart()
            assert await read_row(servers) == 7
            assert servers.postgres.cluster.is_relative_to(tmp_path)

    async def test_as_root_programs_that_postgres_cannot_read_are_run_from_a_copy(tmp_path_factory, monkeypatch, data_dir):
        shared_place = tmp_path_factory.mktemp("elsewhere")
        for place in (shared_place, *shared_place.parents[:2]):
            place.chmod(0o755)
        monkeypatch.setattr(account, "ELSEWHERE", shared_place / "milepost")
        monkeypatch.setattr("services.embedded.postgres.can_reach", lambda *paths: False)
        async with EmbeddedServers(data_dir) as servers:
            await write_row(servers)
            assert Path(psutil.Process(servers.postgres.pid).exe()).is_relative_to(shared_place)

else:

    async def test_as_an_ordinary_user_postgres_runs_as_that_user(own):
        assert psutil.Process(own.postgres.pid).uids().real == os.geteuid()


async def test_an_interrupted_parent_stops_both_servers(data_dir):
    holder, pids = hold_elsewhere(data_dir)
    with holder:
        holder.send_signal(signal.SIGINT)
    await until(lambda: not any(map(lives, pids)))
