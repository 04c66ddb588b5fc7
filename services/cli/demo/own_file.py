"""`milepost demo FILE.fit`: somebody's own recording through the same chain, for a course that begins with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from services.cli.demo.chain import DoesNotHold, Refused
from services.cli.demo.explain import dose_words
from services.cli.demo.play import minutes
from services.cli.demo.stage import Course, Stage
from services.cli.demo.table import day, paragraph, reason, verdict
from services.cli.demo.told import Expectation
from services.cli.demo.voice import Voice
from services.ingest.formats.fit import Naming
from services.ingest.formats.fit_messages import FileFault
from services.ingest.reading import FitReaders
from shared.settings import load

SUBJECT: Final = "demo-you"
COURSE: Final = "demo-you-knee"
STEPS: Final = tuple(f"W{number}" for number in range(1, 21))


class Unusable(Exception):
    """What was asked cannot be done with; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The recording, the step it is taken for, and its start where the watch's clock was wrong (empty: as recorded)."""

    file: Path
    step: str
    start: str


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A recording that can be read, and when it began."""

    content: bytes
    began: datetime
    asked: Asked

    async def play(self, stage: Stage, voice: Voice) -> Course:
        """Returns the course that begins with it. Raises `DoesNotHold`, or `Unusable` when ingest does not take the recording."""
        voice.doing("sending the recording")
        started = _started(self.began - timedelta(hours=12), self.asked.step)
        await stage.chain.send([started], "clinician")
        query = {"course": COURSE, "step": self.asked.step} | ({"start": self.asked.start} if self.asked.start else {})
        try:
            read = await stage.chain.send_file(SUBJECT, self.content, query)
        except Refused as fault:
            raise Unusable(f"{self.asked.file}: {fault}") from None
        for event in (started, *read["events"]):
            outcome = await stage.chain.outcome(event["source"], event["id"])
            if outcome["status"] != "accepted":
                raise DoesNotHold(f"event {event['id']} was {outcome['status']}: {outcome['reason']}")
        decisions = await stage.chain.decisions(COURSE)
        told = await _told(stage, decisions)
        voice.say(what_was_read(self.asked.file.name, read, voice.width))
        voice.say(what_follows(decisions[-1], self.asked.step, told, voice.width))
        return Course(SUBJECT, COURSE)


async def examine(asked: Asked) -> OwnFile:
    """The recording, read once as ingest will. Raises `Unusable` or `FileFault`, one sentence each, before anything is started."""
    settings = load()
    if asked.step not in STEPS:
        raise Unusable(f"--step {asked.step}: expected one of {STEPS[0]} to {STEPS[-1]}")
    try:
        content = asked.file.read_bytes()
    except OSError as fault:
        raise Unusable(f"{asked.file}: cannot be read ({fault.strerror}); give the path of a FIT file") from None
    if len(content) > settings.fit_max_bytes:
        raise Unusable(f"{asked.file}: {len(content)} bytes, and at most {settings.fit_max_bytes} are read (MILEPOST_FIT_MAX_BYTES)")
    readers = FitReaders(1, settings.fit_timeout_s, settings.fit_max_records)
    try:
        read = await readers.read(content, Naming(SUBJECT, COURSE, step=asked.step, start=asked.start or None))
    except FileFault as fault:
        raise Unusable(f"{asked.file}: {str(fault).replace('?start=', '--start')}") from None
    finally:
        await readers.close()
    began = datetime.fromisoformat(read["events"][0]["time"])
    if began > datetime.now(UTC):
        raise Unusable(f"{asked.file}: begins in the future, {began:%Y-%m-%d %H:%M} UTC; give its true start with --start")
    return OwnFile(content, began, asked)


def what_was_read(name: str, read: Mapping[str, Any], width: int) -> Iterator[str]:
    """The recording as ingest understood it, in lines of at most `width`."""
    yield ""
    yield from paragraph(f"Read from {name} (by {read['decoder']}):", width)
    for event in read["events"]:
        data = event["data"]
        if event["type"] == "milepost.session.completed":
            yield from paragraph(session_words(event), width, "  session   ")
            yield from paragraph(split_words(data), width, "  split     ")
        elif data.get("segment", "whole") == "whole":
            yield from paragraph(dynamics_words(data), width, "  dynamics  ")
    for warning in read["warnings"]:
        yield from paragraph(warning, width, "  WARNING   ")


def what_follows(decision: Mapping[str, Any], step: str, told: str, width: int) -> Iterator[str]:
    """The decision with what is missing, in lines of at most `width`."""
    yield ""
    yield from paragraph(f"Decided, as if it were the first session of an adult with knee pain at {step} of progressive-return:", width)
    yield from paragraph(verdict(decision), width, "  decision    ")
    yield from paragraph(reason(decision), width, "  why         ")
    yield from paragraph(dose_words(decision), width, "  dose        ")
    for name, items in (("in the way", decision["blocking"]), ("missing", [ask.partition(": ")[0] for ask in decision["missing"]])):
        for item in items:
            yield from paragraph(item, width, f"  {name:12}")
    yield from paragraph(told, width, "  webhook     ")


def session_words(event: Mapping[str, Any]) -> str:
    """Kind, start, length and heart rate of a session.

    >>> session_words({"time": "2026-03-03T17:00:00Z", "data": {"kind": "run", "duration_s": 1953.4, "distance_m": 6001.9}})
    'run, Tue  3 Mar 2026 17:00 UTC, 32.6 min, 6.00 km'
    """
    data = event["data"]
    when = datetime.fromisoformat(event["time"])
    words = [data["kind"].replace("_", "-"), f"{day(when)} {when:%Y %H:%M} UTC"]
    if "duration_s" in data:
        words.append(f"{minutes(data['duration_s'])} min")
    if "distance_m" in data:
        words.append(f"{data['distance_m'] / 1000:.2f} km")
    if "hr_avg_bpm" in data:
        words.append(f"heart rate {data['hr_avg_bpm']} on average, at most {data['hr_max_bpm']}")
    if "rpe" in data:
        words.append(f"exertion {data['rpe']:g} of 10")
    return ", ".join(words)


def split_words(data: Mapping[str, Any]) -> str:
    """Running against walking."""
    if "run_s" not in data:
        return "not known: what was run and what was walked cannot be told from this recording"
    words = f"{minutes(data['run_s'])} min run in {data['reps']} bout{'s' * (data['reps'] != 1)}, {minutes(data['walk_s'])} min walked"
    return words + (f", {data['run_distance_m'] / 1000:.2f} km run" if "run_distance_m" in data else "")


def dynamics_words(data: Mapping[str, Any]) -> str:
    """What a device measured while running.

    >>> dynamics_words({"device": {"origin": "native", "maker": "garmin"}, "cadence_spm": 162.0, "ground_contact_ms": 252})
    'garmin, its own sensors: cadence 162 steps/min, ground contact 252 ms'
    """
    device = data["device"]
    origins = {"native": "its own sensors", "developer_field": "an app's field", "platform": "a platform"}
    who = " ".join([*(str(device[name]) for name in ("maker", "model") if name in device)]) or "a device without a name"
    found = [f"{words} {data[name]:g} {unit}".rstrip() for name, words, unit in _MEASURES if name in data]
    return f"{who}, {origins[device['origin']]}: {', '.join(found)}"


_MEASURES: Final = (
    ("cadence_spm", "cadence", "steps/min"),
    ("ground_contact_ms", "ground contact", "ms"),
    ("vertical_oscillation_mm", "vertical oscillation", "mm"),
    ("step_length_mm", "step length", "mm"),
    ("leg_stiffness_kn_per_m", "leg stiffness", "kN/m"),
    ("loading_rate_bw_per_s", "loading rate", "body weights/s"),
    ("impact_g", "impact", "g"),
    ("power_w", "power", "W"),
    ("speed_m_per_s", "speed", "m/s"),
    ("coverage_pct", "measured for", "% of the time"),
)


async def _told(stage: Stage, decisions: list[dict[str, Any]]) -> str:
    last, _ = Expectation().of(decisions)[-1]
    if not await stage.receiver.until(lambda: stage.receiver.has(last), 30):
        raise DoesNotHold(f"no webhook told decision {last} within 30 s")
    fault = next(one.fault for one in stage.receiver.deliveries.values() if one.data.get("id") == last)
    if fault is not None:
        raise DoesNotHold(f"the webhook of decision {last} came with a signature that is not valid: {fault}")
    return "told, signature valid"


def _started(when: datetime, step: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{SUBJECT}-start",
        "source": "urn:milepost:demo",
        "type": "milepost.course.started",
        "subject": SUBJECT,
        "time": when.isoformat(),
        "data": {
            "course": COURSE,
            "protocol": "progressive-return",
            "injury": {"tissue": "joint", "site": "knee", "side": "left"},
            "timezone": "UTC",
            "birth_year": 1990,
            "start_step": step,
            "baseline": {"pain_nrs": 0},
        },
    }
