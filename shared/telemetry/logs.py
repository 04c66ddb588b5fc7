"""One JSON object per line on standard error, holding only keys that are known to carry no personal data."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

import orjson
import structlog

from shared.telemetry.traces import frames

ALLOWED: Final = frozenset(
    {
        # what, when, where
        "event", "level", "at", "logger", "service", "pid", "version", "revision", "incident", "error", "trace", "reason", "dropped",
        # whose, without a name
        "tenant", "pseudonym", "key_id", "role",
        # place in the flow
        "partition", "partitions", "lane", "stream", "stream_seq", "seq", "outbox", "epoch", "owner", "protocol", "engine",
        "endpoint_id", "delivery", "notice", "attempt", "kind", "type", "state", "consumer",
        # requests and measures
        "route", "method", "status", "duration_ms", "count", "bytes", "limit", "waiting", "retry_in_s", "lag", "url", "port", "signal",
    }
)  # fmt: skip
"""Keys a log line may have; any other is dropped and its name listed under `dropped`. Never add one that can hold an athlete's id
or a reported value. `event` is fixed text: values go into keys."""

TEXT_LIMIT: Final = 500

_TRUSTED_LOGGERS: Final = ("milepost", "uvicorn", "alembic")


def configure_logs(service: str, level: str = "INFO") -> None:
    """Send structlog and the standard library's logging (uvicorn among it) to standard error as JSON lines.

    Start uvicorn with `log_config=None` afterwards. uvicorn's access log is silenced: it would hold query strings and athlete ids;
    `telemetry.install` logs requests by route template instead. Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is unknown; expected one of DEBUG, INFO, WARNING, ERROR: set MILEPOST_LOG_LEVEL")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, _foreign],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                _named(service),
                fault_without_text,
                only_allowed,
                _json,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("asyncio", "sqlalchemy", "nats", "alembic", "aiohttp"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class _StandardError(logging.Handler):
    """Writes to standard error as it is at that moment; a line that fails is replaced, because logging's own report would quote it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            line = '{"event":"a log line could not be written","level":"error"}'
        # A closed or full standard error must not stop the work that is being told about.
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def only_allowed(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Keep the allowed keys with plain values; name the others under `dropped`."""
    kept = {key: _plain(value) for key, value in line.items() if key in ALLOWED}
    dropped = sorted(key for key in line if key not in ALLOWED)
    if dropped:
        kept["dropped"] = dropped
    return kept


def fault_without_text(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by the fault's class and frames; its text stays out."""
    info = line.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    fault = info[1] if isinstance(info, tuple) else info
    if isinstance(fault, BaseException):
        line["error"] = type(fault).__name__
        line["trace"] = frames(fault)
    for key in ("exception", "stack_info", "stack"):
        line.pop(key, None)
    return line


def _foreign(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of other libraries' lines only the text written by the programmer: what they fill in may be data (asyncio quotes exceptions)."""
    record: logging.LogRecord = line["_record"]
    line["logger"] = record.name
    if not record.name.startswith(_TRUSTED_LOGGERS):
        line["event"] = str(record.msg).splitlines()[0][:100] if record.msg else ""
    if record.exc_info:
        line["exc_info"] = record.exc_info
    return line


def _named(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line.setdefault("service", service)
        return line

    return add


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in list(value)[:100]]
    return str(value)[:TEXT_LIMIT]


def _json(_: Any, __: str, line: Mapping[str, Any]) -> str:
    return orjson.dumps(line, default=str).decode()
