"""One attempt to deliver: sign, send, read a little of the answer, and say in one word how it went."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final, Literal

from services.notify import sign
from services.notify.client import Client, NoConnection
from services.notify.exchange import Unintelligible
from services.notify.guard import Refused, Rules, UrlFault, check_url
from services.notify.schedule import retry_after
from services.notify.sign import Key

Outcome = Literal["delivered", "gone", "redirected", "rejected", "throttled", "failed", "timeout", "unreachable", "refused"]

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
    client: Client, rules: Rules, url: str, webhook_id: str, keys: Sequence[Key], body: bytes, clock: Callable[[], datetime]
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
        head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        answered = await client.post(target, head.encode("ascii"), body)
    except UrlFault as fault:
        return ended("refused", error=f"refused: the URL no longer qualifies: expected {fault.expected}")
    except TimeoutError:
        return ended("timeout", error=f"no answer within {client.timeout_s:g} s")
    except Unintelligible:
        return ended("failed", error="no valid answer")
    except (Refused, NoConnection) as fault:
        return ended("refused" if isinstance(fault, Refused) else "unreachable", error=str(fault))
    except OSError:
        return ended("unreachable", error="the connection ended before an answer")
    except ValueError:
        return ended("refused", error="refused: the URL cannot be connected to")
    return ended(
        outcome_of(answered.status),
        status=answered.status,
        error=None if 200 <= answered.status < 300 else _status_text(answered.status),
        asked_s=retry_after(answered.retry_after, clock()) if answered.retry_after else None,
        response_body=answered.body,
    )


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


def _status_text(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed: register the final URL"
    return f"answered {status}"
