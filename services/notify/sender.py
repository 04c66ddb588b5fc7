"""One delivery as one attempt: judged once more, rendered, signed, sent, and what follows from the answer."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import orjson
import structlog

from services.notify import keys, measures
from services.notify.attempt import Answer, attempt
from services.notify.client import Client
from services.notify.guard import Rules
from services.notify.links import Links
from services.notify.payloads import rendered
from services.notify.release import AFTER_CLINICIAN, Blocked, Reader, judged_again
from services.notify.settle import attempt_row, blocked, settle
from services.notify.sign import SecretFault
from services.notify.store.sending import Attempt, Due, Settled
from services.notify.vault import Vault, VaultFault
from shared.crash import point

_log = structlog.get_logger("milepost.notify.deliver")


class Done(NamedTuple):
    """An ended attempt; `answer` and `attempt` are None where nothing was sent because nothing may be."""

    due: Due
    answer: Answer | None
    attempt: Attempt | None
    settled: Settled


class Sender:
    """Makes attempts through one client; what it opens and signs with does not change between them."""

    def __init__(
        self, client: Client, rules: Rules, vault: Vault, links: Links, waits_s: tuple[float, ...], clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._rules = rules
        self._vault = vault
        self._links = links
        self._waits_s = waits_s
        self._clock = clock

    async def send(self, due: Due) -> Done:
        """Raises nothing but a cancellation: whatever goes wrong, the delivery keeps its place in the schedule."""
        body = b""
        try:
            record = orjson.loads(due.body)
            # Judged again: the policy, the endpoint's role or its terms may have changed since the notice was kept.
            verdict = judged_again(Reader(due.role, third_party=due.third_party, release=due.release or AFTER_CLINICIAN), record)
            if isinstance(verdict, Blocked):
                return Done(due, None, None, blocked(due, verdict.because, self._clock()))
            link = self._links.made(due, record)
            body = rendered(record, due.payload, due.role, verdict.form, link)
            signing = keys.opened(self._vault, due.tenant, due.endpoint, due.secret, due.retired_secret, due.retired_until, self._clock())
            point(27)
            answer = await attempt(self._client, self._rules, due.url, due.notice, signing, body, self._clock)
            point(28)
        except (VaultFault, SecretFault) as fault:
            _log.error("a webhook secret cannot be read", tenant=due.tenant, endpoint_id=due.endpoint, reason=str(fault))
            answer = Answer("refused", self._clock(), 0, {}, error="not sent: the endpoint's secret cannot be read; rotate it")
        except Exception:
            _log.exception("an attempt could not be made", tenant=due.tenant, delivery=due.id)
            answer = Answer("failed", self._clock(), 0, {}, error="not sent: a fault of the sender")
        measures.ATTEMPTS.labels(answer.outcome).inc()
        measures.ATTEMPT_SECONDS.observe(answer.duration_ms / 1000)
        return Done(due, answer, attempt_row(due, answer, body), settle(due, answer, self._clock(), self._waits_s))
