"""What reaches a coach: an advance only once a clinician accepted it, by route and by webhook."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.contract.conftest import Clinic, until
from tests.e2e.receiver import Receiver
from tests.property.histories import BEGIN, two_clean_sessions

COURSE = "north-release"


def recent_clean_sessions() -> list[dict[str, Any]]:
    """A history that ends in an advance, the last session three days ago: nothing in it has grown old yet."""
    shift = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0) - timedelta(days=6) - BEGIN
    events = []
    for raw in two_clean_sessions():
        named = {"id": f"release-{raw['id']}", "subject": "north-runner", "time": (datetime.fromisoformat(raw["time"]) + shift).isoformat()}
        data = raw["data"] | ({"course": COURSE} if "course" in raw["data"] else {})
        events.append(raw | named | {"data": data} | ({"course": COURSE} if "course" in raw else {}))
    return events


async def test_a_coach_reads_and_is_told_an_advance_only_once_a_clinician_accepted_it(north: Clinic) -> None:
    url = f"{north.stack.decision_url}/v1/courses/{COURSE}/recommendation"

    async def coach_reads(status: str) -> dict[str, Any] | None:
        answer = await north.ask("GET", url, "coach")
        return answer.json() if answer.status_code == 200 and answer.json()["status"] == status else None

    async with Receiver() as receiver:
        asked = {"url": receiver.url("north"), "role": "coach", "types": ["recommendation.changed"]}
        made = (await north.ask("POST", f"{north.stack.notify_url}/v1/endpoints", json=asked)).json()
        receiver.secrets["north"] = made["secret"]
        events = recent_clean_sessions()
        assert (await north.send(*events)).json()["accepted"] == len(events)

        async def advance() -> dict[str, Any] | None:
            found = await north.ask("GET", url, "clinician")
            return found.json() if found.status_code == 200 and found.json()["action"] == "advance" else None

        decision = await until(advance)
        awaiting = await until(lambda: coach_reads("awaiting_clinician"))
        assert (awaiting["step"], awaiting["running"]) == (decision["from_step"], "repeat")
        answered = await north.ask(
            "POST", url.replace("/recommendation", "/answers"), "clinician", json=ACCEPTED | {"decision": decision["id"]}
        )
        assert answered.status_code == 202, answered.text
        released = await until(lambda: coach_reads("released"))
        assert (released["step"], released["running"]) == (decision["to_step"], "as_dosed")

        async def heard() -> bool:
            return any(arrival.data.get("to_step") == decision["to_step"] for arrival in receiver.first_heard)

        await until(heard)
        assert all(
            arrival.data.get("action") != "advance" or arrival.data["to_step"] == decision["to_step"] for arrival in receiver.first_heard
        )
        await north.ask("DELETE", f"{north.stack.notify_url}/v1/endpoints/{made['id']}")


ACCEPTED = {"answer": "accepted"}
