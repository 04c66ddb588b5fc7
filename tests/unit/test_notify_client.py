"""The client of webhooks against receivers that answer well, badly and not at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from services.notify.client import Client, NoConnection
from services.notify.exchange import KEPT_BYTES, Answered, Broken, Unintelligible
from services.notify.guard import Rules

TRIAL = Rules(frozenset({443}), allow_loopback=True)
BODY = b'{"type":"test"}'
HEAD = b"host: hooks.example.org\r\ncontent-length: %d\r\n" % len(BODY)
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"


class Scripted:
    """A receiver that answers each request with the next of its scripts, and by `ends` closes the connection after it."""

    def __init__(self, *scripts: bytes, ends: bool = False) -> None:
        self.scripts = list(scripts)
        self.ends = ends
        self.connections = 0
        self.heard: list[bytes] = []
        self.url = URL()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(BODY)))
                writer.write(self.scripts.pop(0))
                await writer.drain()
                if self.ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(script: Scripted, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.url = URL(f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/in?key=7")
    try:
        yield script
    finally:
        server.close()


async def _asked(script: Scripted, times: int = 1, within_s: float = 60.0) -> list[Answered]:
    async with serving(script), Client(TRIAL, within_s) as client:
        return [await client.post(script.url, HEAD, BODY) for _ in range(times)]


async def test_what_is_sent_is_the_request_and_nothing_else() -> None:
    script = Scripted(NOTHING)
    assert await _asked(script) == [Answered(204, None, b"")]
    assert script.heard == [b"POST /in?key=7 HTTP/1.1\r\n" + HEAD + b"\r\n" + BODY]


async def test_a_connection_is_used_again_unless_the_receiver_ends_it() -> None:
    kept, closed = Scripted(*[NOTHING] * 3), Scripted(*[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"] * 3)
    assert [answer.status for answer in await _asked(kept, 3)] == [204] * 3
    assert [answer.status for answer in await _asked(closed, 3)] == [200] * 3
    assert (kept.connections, closed.connections) == (1, 3)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n", Answered(200, None, b"yes")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", Answered(202, None, b"ok")),
        (b"HTTP/1.1 503 Busy\r\nretry-after: 120\r\nContent-Length: 0\r\n\r\n", Answered(503, "120", b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000, Answered(200, None, b"x" * KEPT_BYTES)),
    ],
)
async def test_an_answer_is_read_however_it_is_framed_and_only_its_beginning_is_kept(script: bytes, expected: Answered) -> None:
    assert await _asked(Scripted(script)) == [expected]


@pytest.mark.parametrize("ends", [True, False])
async def test_the_status_decides_even_when_the_body_breaks_off_or_hangs(ends: bool) -> None:
    script = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun"
    for within_s in (60.0,) if ends else (0.3, 3.0, 30.0):
        # Longer where the machine stood still until not even the status had come.
        with suppress(TimeoutError):
            assert await _asked(Scripted(script, ends=ends), within_s=within_s) == [Answered(200, None, b"begun")]
            return
    pytest.fail("the status was given up with the body")


async def test_a_body_without_an_end_of_its_own_ends_with_the_connection() -> None:
    assert await _asked(Scripted(b"HTTP/1.1 200 OK\r\n\r\nall of it", ends=True)) == [Answered(200, None, b"all of it")]


@pytest.mark.parametrize("script", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 2x4 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000])
async def test_what_is_no_answer_or_has_headers_without_end_is_a_fault(script: bytes) -> None:
    with pytest.raises(Unintelligible):
        await _asked(Scripted(script))


async def test_a_connection_that_ends_before_an_answer_is_a_fault_and_silence_is_given_up() -> None:
    with pytest.raises(Broken):
        await _asked(Scripted(b"HTTP/1.1 200", ends=True))
    with pytest.raises(TimeoutError):
        await _asked(Scripted(b""), within_s=0.2)


async def test_a_second_answer_that_nobody_asked_for_is_never_taken_for_the_next() -> None:
    script = Scripted(NOTHING + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NOTHING)
    assert [answer.status for answer in await _asked(script, 2)] == [204, 204]
    assert script.connections == 2


async def test_a_receiver_that_is_not_there_is_a_fault_in_words_that_name_no_address() -> None:
    async with Client(TRIAL, 60) as client:
        with pytest.raises(NoConnection, match=r"\Aconnection refused\Z"):
            await client.post(URL("http://127.0.0.1:9/"), HEAD, BODY)


async def test_a_certificate_counts_only_when_it_is_vouched_for_and_names_the_host(tmp_path: Path) -> None:
    ours, others = _certificate(tmp_path, "127.0.0.1"), _certificate(tmp_path, "127.0.0.2")
    for chain, trusted, reached in ((ours, True, True), (ours, False, False), (others, True, False)):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chain)
        script = Scripted(NOTHING)
        async with serving(script, tls), Client(TRIAL, 60) as client:
            if trusted:
                client._tls.load_verify_locations(cafile=chain)
            if reached:
                assert (await client.post(script.url, HEAD, BODY)).status == 204
            else:
                with pytest.raises(NoConnection, match="certificate is not valid for its name"):
                    await client.post(script.url, HEAD, BODY)
        assert len(script.heard) == reached


def _certificate(folder: Path, address: str) -> Path:
    """A certificate that vouches for itself, with its key, for one address."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = folder / f"{address}.pem"
    chain.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return chain
