"""A FIT recording as events: one session for each activity in it, and the running dynamics of each device that measured some.

Ids come from the file's SHA-256, so that the same file sent twice is a duplicate. What the file does not say stays out: unknown is not
zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from services.ingest.formats.dynamics import averages, cadence_spm, segments, sources, summary_averages
from services.ingest.formats.fit_messages import CLOCK_SET, FileFault, Message, Messages, read
from services.ingest.formats.run_walk import Sample, Split, split
from shared.events import EventFault, validate_data
from shared.events.forms import instant

SOURCE: Final = "urn:milepost:file:fit"

# Where records cover less of the timer than this, how much was run and walked is unknown (expert default).
LEAST_KNOWN: Final = 0.9
# With less walking in the time on the move, a session is a run, and what the watch averaged over the whole is of running (expert default).
WALKED: Final = 0.1

_KINDS: Final = {
    "training": {"strength_training": "strength", "flexibility_training": "mobility", "yoga": "mobility", "pilates": "mobility"},
    "fitness_equipment": {"treadmill": "running", "strength_training": "strength", "yoga": "mobility", "pilates": "mobility"},
}
_SURFACES: Final = {"treadmill": "treadmill", "track": "track", "trail": "trail", "street": "road"}
_NO_SPORT: Final = frozenset({"generic", "all", "invalid"})


@dataclass(frozen=True, slots=True)
class Naming:
    """What the file cannot say: whose it is and what it belongs to; `start` (RFC 3339) where the device's clock was wrong.

    `said` is what a person says of the session, as fields of `milepost.session.completed`; it goes before what the device wrote.
    """

    athlete: str
    course: str | None = None
    session: str | None = None
    step: str | None = None
    planned: bool | None = None
    start: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Recording:
    """The events made of a file, what could not be read or was assumed, and which decoder read it."""

    decoder: str
    session: str
    events: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def recording(file: bytes, naming: Naming, max_records: int) -> Recording:
    """The events of a FIT file. Raises `FileFault` for a file that holds no session of a person moving."""
    messages = read(file, max_records)
    kind = messages.first("file_id").get("type", "activity")
    if kind != "activity":
        raise FileFault(f"this FIT file holds no activity but {str(kind)[:40]!r}; send the file of a recorded session")
    digest = sha256(file).hexdigest()
    out = Recording(messages.decoder, naming.session or f"fit-{digest[:16]}", warnings=list(messages.notes))
    sessions = [item for item in messages.of("session") if item.get("sport") != "transition"] or [_from_records(messages, out)]
    shift = _shift(sessions[0], naming.start)
    for number, summary in enumerate(sessions, 1):
        many = len(sessions) > 1
        name = f"{out.session}-{number}" if many else out.session
        _add_session(out, messages, summary, _Part(digest, name, f"-{number}" if many else "", naming, shift))
    return out


@dataclass(frozen=True, slots=True)
class _Part:
    """One session of a file: its name, how its event ids differ, and how far its clock was off."""

    digest: str
    session: str
    suffix: str
    naming: Naming
    shift: timedelta

    def event(self, part: str, event_type: str, time: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
        event = {
            "specversion": "1.0",
            "id": f"{self.digest}:{part}{self.suffix}",
            "source": SOURCE,
            "type": event_type,
            "subject": self.naming.athlete,
            "time": (time + self.shift).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
        }
        if self.naming.course is not None:
            event["course"] = self.naming.course
        return event | {"data": dict(data)}


def _add_session(out: Recording, messages: Messages, summary: Message, part: _Part) -> None:
    begin: datetime = summary["start_time"]
    timer = summary.get("total_timer_time")
    lasted = summary.get("total_elapsed_time") or timer or 0
    records = _records(messages, begin, begin + timedelta(seconds=lasted + 60) if len(messages.of("session")) > 1 else None)
    kind = _kind(messages, summary)
    data: dict[str, Any] = {"session": part.session, "kind": kind}
    if part.naming.planned is not None:
        data["planned"] = part.naming.planned
    data |= _totals(summary, records)
    if kind != "running":
        _add_completed(out, part, begin, data)
        return
    if part.naming.step is not None:
        data["step"] = part.naming.step
    if surface := _SURFACES.get(str(summary.get("sub_sport"))):
        data["surface"] = surface
    gaits = split(_samples(records))
    data |= _gaits(out, gaits, timer)
    data["kind"] = "run_walk" if gaits.walked >= WALKED else "run"
    _add_completed(out, part, begin, data)
    _add_dynamics(out, messages, summary, records, gaits, part)


def _add_completed(out: Recording, part: _Part, begin: datetime, data: Mapping[str, Any]) -> None:
    fitting = _fitting(out, "milepost.session.completed", {**data, **part.naming.said})
    out.events.append(part.event("session", "milepost.session.completed", begin, fitting))


def _add_dynamics(out: Recording, messages: Messages, summary: Message, records: Sequence[Message], gaits: Split, part: _Part) -> None:
    found, notes = sources(messages, records, _device(messages))
    out.warnings.extend(notes)
    end = records[-1]["timestamp"] if records else summary["start_time"]
    for source in found:
        for segment, indices in segments(gaits.running, gaits.seconds):
            means = averages(source, indices, gaits.seconds)
            if means and source.part == "native" and segment == "whole" and gaits.walked < WALKED:
                # The watch's own averages, which are what its owner sees; over walks they would mix the steps of two gaits.
                means |= summary_averages(summary)
            if means:
                data = {"session": part.session, "segment": segment, "device": source.device} | means
                fitting = _fitting(out, "milepost.sensor.summarised", data)
                out.events.append(part.event(f"{source.part}:{segment}", "milepost.sensor.summarised", end, fitting))


def _from_records(messages: Messages, out: Recording) -> Message:
    """A summary for a file without one: its totals only where nothing of the file is missing, for a part is not the whole."""
    times = sorted(time for item in messages.of("record") if isinstance(time := item.get("timestamp"), datetime))
    if not times:
        raise FileFault("the file holds neither a session nor records with a time; send the file of a recorded session")
    if messages.damaged:
        out.warnings.append(f"the summary of the session is missing; {len(times)} records were read, and totals are left out as unknown")
        return {"start_time": times[0]}
    seconds = (times[-1] - times[0]).total_seconds()
    distances = [value for item in messages.of("record") if isinstance(value := item.get("distance"), int | float)]
    out.warnings.append("the summary of the session is missing; duration and distance are those of its records")
    return {"start_time": times[0], "total_timer_time": seconds} | ({"total_distance": max(distances)} if distances else {})


def _shift(summary: Message, start: str | None) -> timedelta:
    begin = summary.get("start_time")
    if not isinstance(begin, datetime):
        raise FileFault("the session has no start time; send its start as ?start= in RFC 3339")
    if start is not None:
        stated = instant(start)
        if stated is None:
            raise FileFault("?start= is no date and time with offset (RFC 3339), as in 2026-03-02T07:00:00+01:00")
        return stated - begin
    if begin < CLOCK_SET:
        raise FileFault("the clock of the device was not set, so the time of the session is unknown; send its start as ?start= in RFC 3339")
    return timedelta(0)


def _kind(messages: Messages, summary: Message) -> str:
    """`running`, or the contract's kind of session."""
    sport = str(summary.get("sport", messages.first("sport").get("sport", "generic")))
    detail = str(summary.get("sub_sport", messages.first("sport").get("sub_sport", "generic")))
    if sport == "running":
        return "running"
    if sport in _NO_SPORT:
        raise FileFault("the file does not say which sport it recorded; send the session as an event, milepost.session.completed")
    return _KINDS.get(sport, {}).get(detail, "cross_training")


def _records(messages: Messages, begin: datetime, end: datetime | None) -> list[Message]:
    records = [item for item in messages.of("record") if isinstance(item.get("timestamp"), datetime)]
    if end is not None:
        records = [item for item in records if begin <= item["timestamp"] <= end]
    return sorted(records, key=lambda item: item["timestamp"])


def _samples(records: Sequence[Message]) -> list[Sample]:
    return [
        Sample(item["timestamp"].timestamp(), item.get("enhanced_speed", item.get("speed")), cadence_spm(item), item.get("distance"))
        for item in records
    ]


def _totals(summary: Message, records: Sequence[Message]) -> dict[str, Any]:
    """What the summary says of the whole; heart rates from the records where it is silent."""
    rates = [rate for item in records if isinstance(rate := item.get("heart_rate"), int) and rate > 0]
    effort = summary.get("workout_rpe")
    totals = {
        "duration_s": summary.get("total_timer_time"),
        "distance_m": summary.get("total_distance"),
        "hr_avg_bpm": summary.get("avg_heart_rate") or (round(sum(rates) / len(rates)) if rates else None),
        "hr_max_bpm": summary.get("max_heart_rate") or (max(rates) if rates else None),
        "ascent_m": summary.get("total_ascent"),
        "descent_m": summary.get("total_descent"),
        # FIT holds ten times the scale of 0 to 10.
        "rpe": effort / 10 if isinstance(effort, int | float) else None,
    }
    return {name: _whole(value) for name, value in totals.items() if value is not None}


def _gaits(out: Recording, gaits: Split, timer: float | None) -> dict[str, Any]:
    if not timer or gaits.known_s < LEAST_KNOWN * timer:
        known = f"{100 * gaits.known_s / timer:.0f} % of the time" if timer else "an unknown part"
        out.warnings.append(f"what was run and what was walked is unknown: the records tell it for {known}")
        return {}
    data: dict[str, Any] = {"run_s": _whole(round(gaits.run_s, 1)), "walk_s": _whole(round(gaits.walk_s, 1)), "reps": gaits.reps}
    if gaits.run_distance_m is not None:
        data["run_distance_m"] = _whole(round(gaits.run_distance_m, 1))
    return data


def _device(messages: Messages) -> dict[str, str]:
    stated = messages.first("file_id")
    device = {}
    if isinstance(maker := stated.get("manufacturer"), str):
        device["maker"] = maker
    model = stated.get("garmin_product", stated.get("product_name", stated.get("product")))
    if model is not None and str(model).strip():
        device["model"] = str(model).strip()[:100]
    return device


def _fitting(out: Recording, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """The data without values that no runner can have; each is named in the warnings."""
    try:
        return validate_data(event_type, data)
    except EventFault as fault:
        names = {one.path.removeprefix("data.").split(".")[0].split("[")[0] for one in fault.faults}
        given = {"session", "step", "kind", "device"}
        for one in fault.faults:
            out.warnings.append(f"{one.path.removeprefix('data.')} is left out: expected {one.expected}, found {one.found}")
        if names & given or not names <= data.keys():
            # The sender's own words; the event goes on as it is and is refused with its path.
            return data
        return _fitting(out, event_type, {name: value for name, value in data.items() if name not in names})


def _whole(value: float) -> float:
    return int(value) if isinstance(value, float) and value.is_integer() else value
