"""FIT bytes to messages in one shape, whichever decoder could read them.

The official SDK goes first, on a fresh stream: its `check_integrity` would leave the stream consumed, and then nothing is read and
nothing said. It refuses compressed timestamps; then, and for damaged files, fitdecode tries as well, and the one that got more wins.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final, Literal

DecoderName = Literal["garmin-fit-sdk", "fitdecode"]

EPOCH: Final = datetime(1989, 12, 31, tzinfo=UTC)
# Below this, a FIT time counts seconds since the device was switched on: its clock was never set (FIT protocol, type date_time).
CLOCK_SET: Final = EPOCH + timedelta(seconds=0x10000000)

Message = dict[str, Any]


class FileFault(Exception):
    """A file that cannot become events; the text says why and what to do, in one sentence."""


@dataclass(slots=True)
class DeveloperValue:
    """One developer field of one record: what the app that wrote it calls it, and its unit as the app states it."""

    name: str
    unit: str
    app: int
    value: float


@dataclass(slots=True)
class Messages:
    """What was read of a file. `damaged` says that something is missing; `notes` say what, in sentences for the sender."""

    decoder: DecoderName
    by_kind: dict[str, list[Message]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    damaged: bool = False

    def of(self, kind: str) -> list[Message]:
        """The messages of a kind, such as `record` or `session`, in file order."""
        return self.by_kind.get(kind, [])

    def first(self, kind: str) -> Message:
        """The first message of a kind, or an empty one."""
        return next(iter(self.of(kind)), {})


class _Enough(Exception):
    """More messages than may be read."""


_KINDS: Final = frozenset({"file_id", "device_info", "sport", "session", "record", "developer_data_id", "field_description"})


def read(file: bytes, max_records: int) -> Messages:
    """The messages of a FIT file, at most `max_records` of them. Raises `FileFault` where none can be read."""
    if not file:
        raise FileFault("the file is empty; send the recording itself")
    if file[8:12] != b".FIT":
        raise FileFault("this is not a FIT file: the mark .FIT at byte 8 is missing; send the .fit file as the device wrote it, unpacked")
    messages = _by_sdk(file, max_records)
    if messages.damaged:
        other = _by_fitdecode(file, max_records)
        if len(other.of("record")) > len(messages.of("record")):
            messages = other
    if not messages.by_kind:
        raise FileFault("nothing in this FIT file can be read; send the file as the device wrote it")
    return messages


def _by_sdk(file: bytes, max_records: int) -> Messages:
    from garmin_fit_sdk import Decoder, Stream
    from garmin_fit_sdk.profile import Profile

    messages = Messages("garmin-fit-sdk")
    numbers = Profile["mesg_num"]
    kinds = {number: name.lower() for name, number in numbers.items() if name.lower() in _KINDS}
    count = 0

    def keep(number: int, message: Message) -> None:
        nonlocal count
        count += 1
        if count > max_records:
            raise _Enough
        if number in kinds:
            messages.by_kind.setdefault(kinds[number], []).append(message)

    # Heart rates of straps that store and forward are merged by the SDK only over complete files; the records have their own.
    _, faults = Decoder(Stream.from_byte_array(bytearray(file))).read(merge_heart_rates=False, mesg_listener=keep)
    for fault in faults:
        _note(messages, fault, max_records)
    names = {item.get("key"): item for item in messages.of("field_description")}
    for record in messages.of("record"):
        if values := record.pop("developer_fields", None):
            record["developer"] = [item for key, value in values.items() for item in _developer(names.get(key, {}), value)]
    return messages


def _by_fitdecode(file: bytes, max_records: int) -> Messages:
    import fitdecode

    messages = Messages("fitdecode")
    try:
        reader = fitdecode.FitReader(BytesIO(file), check_crc=fitdecode.CrcCheck.DISABLED, error_handling=fitdecode.ErrorHandling.IGNORE)
        with reader:
            count = 0
            for frame in reader:
                if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                    continue
                count += 1
                if count > max_records:
                    raise _Enough
                if frame.name in _KINDS:
                    messages.by_kind.setdefault(frame.name, []).append(_plain(frame))
    except Exception as fault:  # The decoder meets damage with whatever its parsing runs into.
        _note(messages, fault, max_records)
    return messages


def _plain(frame: Any) -> Message:
    message: Message = {}
    developer: list[DeveloperValue] = []
    for item in frame.fields:
        if item.value is None:
            continue
        if item.field_def is not None and item.field_def.is_dev:
            stated = {"field_name": item.name, "units": item.units, "developer_data_index": item.field_def.dev_data_index}
            developer.extend(_developer(stated, item.value))
        else:
            message[item.name] = _instant(item.value) if item.name in ("timestamp", "start_time", "time_created") else item.value
    if developer:
        message["developer"] = developer
    return message


def _instant(value: object) -> object:
    return EPOCH + timedelta(seconds=value) if isinstance(value, int) else value


def _developer(stated: Mapping[str, Any], value: object) -> Iterator[DeveloperValue]:
    name, unit = _word(stated.get("field_name")), _word(stated.get("units"))
    if name and isinstance(value, int | float) and not isinstance(value, bool):
        yield DeveloperValue(name, unit, int(stated.get("developer_data_index") or 0), float(value))


def _word(value: object) -> str:
    if isinstance(value, list | tuple):
        value = next((item for item in value if item), "")
    return value.strip() if isinstance(value, str) else ""


def _note(messages: Messages, fault: BaseException, max_records: int) -> None:
    if isinstance(fault, _Enough):
        messages.damaged = True
        messages.notes.append(f"the file has more than {max_records} messages; those after that were not read")
    elif "CRC" in str(fault):
        # Many sound files of older watches fail this check.
        messages.notes.append("the checksum of the file does not match; the values were taken as they stand")
    else:
        messages.damaged = True
        messages.notes.append(_told(fault))


def _told(fault: BaseException) -> str:
    text = str(fault).lower()
    reasons: tuple[tuple[Callable[[str], bool], str], ...] = (
        (lambda said: "compressed timestamp" in said, "the file holds compressed timestamps, which this decoder does not read"),
        (lambda said: "remaining" in said or "expected" in said, "the file breaks off; what comes before was read"),
    )
    return next((told for holds, told in reasons if holds(text)), "the file is damaged; what comes before the damage was read")
