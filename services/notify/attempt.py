"""One attempt to deliver: sign, send, read a little of the answer, and say in one word how it went."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final, Literal

import aiohttp
from aiohttp import ClientResponse, ClientSession

from services.notify import sign
from services.notify.guard import Rules, UrlFault, check_url, refusal_in
from services.notify.schedule import retry_after
from services.notify.sign import Key

Outcome = Literal["delivered", "gone", "redirected", "rejected", "throttled", "failed", "timeout", "unreachable", "refused"]

KEPT_BYTES: Final = 2048
"""How much of a receiver's answer is kept; the rest is not read."""
USER_AGENT: Final = "Milepost-Webhooks/1.0"
_THROTTLING: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """What came of an attempt. `headers` are those that left; `asked_s` is the receiver's Retry-After, in seconds."""

    outcome: Outcome
    started_at: datetime
    duration_ms: int
    headers: Mapping[str, str]
    status: int | None = None
    error: str | None = None
    asked_s: float | None = None
    response_body: bytes | None = None

    @property
    def blames_endpoint(self) -> bool:
        """Whether the failure says that the endpoint as a whole is unwell, and not that it dislikes this one notice."""
        return self.outcome in ("throttled", "failed", "timeout", "unreachable", "refused")


async def attempt(
    session: ClientSession, rules: Rules, url: str, webhook_id: str, keys: Sequence[Key], body: bytes, clock: Callable[[], datetime]
) -> Answer:
    """Sends `body` once. Never raises for what a receiver or a network does; only 2xx counts as delivered, redirects are not followed."""
    started, begin = clock(), perf_counter()
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "content-length": str(len(body)),
        **sign.headers(keys, webhook_id, int(started.timestamp()), body),
    }

    def ended(outcome: Outcome, **known: object) -> Answer:
        return Answer(outcome, started, round((perf_counter() - begin) * 1000), headers, **known)  # type: ignore[arg-type]

    try:
        target = check_url(url, rules)
        headers["host"] = target.raw_authority
        async with session.post(
            target, data=body, headers=headers, allow_redirects=False, skip_auto_headers=("accept", "accept-encoding")
        ) as response:
            asked = retry_after(response.headers.get("Retry-After"), clock())
            return ended(
                outcome_of(response.status),
                status=response.status,
                error=None if 200 <= response.status < 300 else _status_text(response),
                asked_s=asked,
                response_body=await _beginning(response),
            )
    except UrlFault as fault:
        return ended("refused", error=f"refused: the URL no longer qualifies: expected {fault.expected}")
    except TimeoutError:
        return ended("timeout", error=f"no answer within {session.timeout.total:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as fault:
        outcome, error = _in_words(fault)
        return ended(outcome, error=error)


def outcome_of(status: int) -> Outcome:
    """The class of an HTTP status.

    >>> [outcome_of(status) for status in (204, 301, 404, 410, 429, 500, 503)]
    ['delivered', 'redirected', 'rejected', 'gone', 'throttled', 'failed', 'throttled']
    """
    if 200 <= status < 300:
        return "delivered"
    if 300 <= status < 400:
        return "redirected"
    if status == 410:
        return "gone"
    if status in _THROTTLING:
        return "throttled"
    return "rejected" if 400 <= status < 500 else "failed"


def _status_text(response: ClientResponse) -> str:
    if 300 <= response.status < 400:
        return f"answered {response.status}; redirects are not followed: register the final URL"
    return f"answered {response.status}"


async def _beginning(response: ClientResponse) -> bytes:
    """The first bytes of the answer's body. The status has decided already: a body that breaks off or hangs changes nothing."""
    read = bytearray()
    try:
        while len(read) < KEPT_BYTES:
            chunk = await response.content.read(KEPT_BYTES - len(read))
            if not chunk:
                break
            read += chunk
    except (aiohttp.ClientError, OSError, TimeoutError):
        response.close()
    return bytes(read)


def _in_words(fault: Exception) -> tuple[Outcome, str]:
    # Words of our own: the client's texts name the addresses that a host resolves to.
    if (refused := refusal_in(fault)) is not None:
        return "refused", str(refused)
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return "unreachable", "the host name is not known"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):
        return "unreachable", "the receiver's certificate is not valid for its name"
    if isinstance(fault, aiohttp.ClientSSLError):
        return "unreachable", "no TLS connection could be agreed on"
    if isinstance(fault, aiohttp.ClientConnectorError | socket.gaierror):
        refusing = isinstance(getattr(fault, "os_error", None), ConnectionRefusedError)
        return "unreachable", "connection refused" if refusing else "no connection"
    if isinstance(fault, aiohttp.ServerDisconnectedError | ConnectionError):
        return "unreachable", "the connection ended before an answer"
    if isinstance(fault, aiohttp.InvalidURL | ValueError):
        return "refused", "refused: the URL cannot be connected to"
    return "failed", f"no valid answer ({type(fault).__name__})"
