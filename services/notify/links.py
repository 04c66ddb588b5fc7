"""Answer links in notices for clinicians: only in endpoints that a clinician vouched for, only while the decision waits for an answer."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from services.notify.notices import ADVICE_TYPES, UNANSWERED
from services.notify.policy import needs_answer
from services.notify.store.sending import Due
from shared.answer_links import AnswerLink, signed
from shared.settings import Settings

_ANSWERABLE: Final = ADVICE_TYPES | {UNANSWERED}


class Links:
    """Makes the links; the same notice to the same endpoint always carries the same one."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.secret_key_bytes
        self._base = settings.public_url.rstrip("/")
        self._lasts = timedelta(seconds=settings.answer_link_s)

    def made(self, due: Due, record: Mapping[str, Any]) -> str | None:
        """The address of the page on which this notice's decision is answered; None where there is nothing to answer or nobody to."""
        if due.answers_by is None or due.role != "clinician" or record["type"] not in _ANSWERABLE or not needs_answer(record["body"]):
            return None
        until = datetime.fromisoformat(record["timestamp"]) + self._lasts
        link = AnswerLink(
            due.tenant, record["body"]["course"], str(record["body"]["id"]), due.answers_by, due.notice, int(until.timestamp())
        )
        return f"{self._base}/answers/{quote(signed(link, self._key))}"
