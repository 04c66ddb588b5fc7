"""The one door: a record and an audience in, a rendering out."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from services.decision.core.protocol import Protocol
from services.decision.rendering.athlete import for_athlete
from services.decision.rendering.clinician import for_clinician
from services.decision.rendering.coach import for_coach

Audience = Literal["clinician", "coach", "athlete"]
AUDIENCES: tuple[Audience, ...] = get_args(Audience)


def render(
    record: Mapping[str, Any], audience: Audience, pack: Protocol | None, explanation: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A decision record in words: `audience`, `summary` of at most 140 characters, `sections` of heading and lines, `text` as one text.

    `pack` is the protocol the record names, None where it is not at hand: then doses are told by their numbers and citations by their ids.
    `explanation` is what `Athlete.explanation` computes; only a clinician is told of it. The athlete's rendering has `emergency` as well:
    null, or `call_now` and the text.
    """
    if audience == "coach":
        return for_coach(record, pack)
    if audience == "athlete":
        return for_athlete(record, pack)
    return for_clinician(record, pack, explanation)
