"""What stays when the story is over: the addresses, and commands that can be copied."""

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

from services.cli.demo.stage import Course, Stage


def closing(stage: Stage, course: Course, now: datetime) -> Iterator[str]:
    """Lines to print; a command is one line, however long."""
    stack = stage.stack
    yield ""
    yield "The services stay up until Ctrl-C. Their documents:"
    for name in ("ingest", "decision", "notify"):
        yield f"  {name:9} {getattr(stack, f'{name}_url')}/docs"
    event = {
        "specversion": "1.0",
        "id": "my-first-event",
        "source": "urn:example:me",
        "type": "milepost.symptom.reported",
        "subject": course.subject,
        "course": course.name,
        "time": now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data": {"when": "daily", "pain_nrs": 3, "flags": ["locking_or_giving_way"]},
    }
    key = f"Authorization: Bearer {stage.keys['integrator']}"
    media = "Content-Type: application/cloudevents+json"
    yield ""
    yield "Send a first event, a report of a knee that gives way, and read what is recommended then:"
    yield ""
    yield shlex.join(
        ["curl", "-sS", f"{stack.ingest_url}/v1/events", "-H", key, "-H", media, "-d", json.dumps(event, separators=(",", ":"))]
    )
    yield ""
    yield shlex.join(["curl", "-sS", f"{stack.decision_url}/v1/courses/{course.name}/recommendation", "-H", key])
    yield ""
    yield f"Data and logs: {stack.settings.data_dir}"
