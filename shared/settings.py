"""Every `MILEPOST_*` variable, in one typed class.

Services read their settings once at start, by `load()`; everything else is handed the object. `settings_table()` renders the
table of docs/settings.md, and a test keeps the two equal.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "MILEPOST_"

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsFault(Exception):
    """Settings that cannot be worked with; the text has one line per fault: the variable, what was expected, what to do."""


class Settings(BaseSettings):
    """What an operator may set. Names are the variables' names without `MILEPOST_`, in lower case.

    Seconds, bytes and counts stand in the field's name or description. Raises `pydantic.ValidationError`; services use `load()`,
    which turns that into `SettingsFault`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    # Servers
    database_url: str = Field("", repr=False, description="PostgreSQL as the service role, `postgresql+asyncpg://…`. Empty: embedded.")
    owner_database_url: str = Field("", repr=False, description="PostgreSQL as the role that owns the schema; used by migrations only.")
    eraser_database_url: str = Field(
        "", repr=False, description="PostgreSQL as the role that erases athletes; for the eraser alone. Empty: embedded."
    )
    nats_url: str = Field("", repr=False, description="NATS with JetStream, `nats://…`, several with commas. Empty: embedded.")
    eraser_nats_url: str = Field(
        "", repr=False, description="NATS with the credential that may delete messages; for the eraser alone. Empty: embedded."
    )
    owner_nats_url: str = Field(
        "",
        repr=False,
        description="NATS with the credential that makes and changes streams; for migrations only. Empty: the services'.",
    )
    nats_monitor_url: str = Field(
        "",
        description="The HTTP monitor of each NATS server, with commas; asked if it syncs what it confirms, "
        "unless the others say it is down.",
    )
    data_dir: Path = Field(Path(".milepost"), description="Where the embedded servers keep their data, and the generated secrets.")

    # Addresses
    host: str = Field("127.0.0.1", description="The address the services listen on.")
    ingest_port: Port = Field(8101, description="Port of ingest; 0 takes a free one.")
    decision_port: Port = Field(8102, description="Port of decision; 0 takes a free one.")
    notify_port: Port = Field(8103, description="Port of notify; 0 takes a free one.")

    # Secrets
    pseudonym_key: str = Field(
        "", repr=False, description="At least 32 bytes in hex; makes athletes' pseudonyms on the bus. Never change it. Embedded: generated."
    )
    secret_key: str = Field("", repr=False, description="32 bytes in hex; encrypts stored webhook secrets (AES-GCM). Embedded: generated.")

    start_wait_s: float = Field(
        30, ge=0, le=600, description="How long a service that starts waits for PostgreSQL and NATS to answer, both together, in seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line that is written.")

    # Ingest
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="Largest request body, in bytes (NDJSON streams are counted by line).")
    max_event_bytes: int = Field(64 * 2**10, ge=1024, le=256 * 2**10, description="Largest single event, in bytes.")
    max_depth: int = Field(16, ge=2, le=64, description="Deepest nesting of JSON that is read.")
    ndjson_max_lines: int = Field(10_000, ge=1, description="Most events in one NDJSON request.")
    ingest_queue_limit: int = Field(
        20_000, ge=1, description="Events that may wait for the bus; beyond, requests get 503 with Retry-After."
    )
    group_commit_ms: float = Field(5, ge=0, le=1000, description="Longest time an event waits for company before it is published, in ms.")
    group_commit_events: int = Field(500, ge=1, le=1000, description="Most events in one atomic batch on the bus.")

    # Files
    fit_workers: int = Field(1, ge=1, le=32, description="Processes that decode FIT files.")
    fit_max_bytes: int = Field(32 * 2**20, ge=1024, description="Largest FIT file, in bytes.")
    fit_timeout_s: float = Field(30, gt=0, description="Longest time one FIT file may take, in seconds.")
    fit_max_records: int = Field(200_000, ge=1, description="Most messages read from one FIT file.")

    # Decision
    lanes: int = Field(1, ge=1, le=8, description="Ordered consumers over the 64 partitions, each with its own worker process.")
    fetch_size: int = Field(256, ge=1, le=10_000, description="Most events in one transaction of the worker.")
    lease_s: float = Field(10, ge=1, le=600, description="How long a worker owns its partitions without renewing, in seconds.")
    checkpoint_s: float = Field(15, ge=0.05, description="How often the grown trees of history get a signed checkpoint, in seconds.")
    athletes_in_memory: int = Field(2000, ge=1, description="Folded athletes a worker keeps at hand.")

    approval_days: int = Field(30, ge=1, le=365, description="Days that the approval of a rule pack holds.")
    bench_processes: int = Field(1, ge=1, le=32, description="Processes that check, backtest and shadow rule packs.")
    scrub_within_s: float = Field(
        864_000, gt=0, description="How long after an erasure `milepost erasures scrub` is to have been run, in seconds (10 days)."
    )

    # Notify
    allow_loopback_webhooks: bool = Field(False, description="Let webhooks go to loopback addresses, at any port. For trials only.")
    webhook_ports: Annotated[frozenset[int], NoDecode] = Field(
        frozenset({80, 443}), description="Ports webhooks may go to, with commas between."
    )
    notice_coalesce_s: float = Field(60, ge=0, description="A course is told at most once in this time, unless urgency rises; in seconds.")
    retry_schedule_s: Annotated[tuple[float, ...], NoDecode] = Field(
        (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        description="Waits before each attempt of a delivery, in seconds, with commas between; after the last it is exhausted.",
    )
    delivery_timeout_s: float = Field(15, gt=0, le=120, description="Longest time one delivery attempt may take, in seconds.")
    disable_endpoint_after_s: float = Field(
        432_000, gt=0, description="An endpoint that did nothing but fail for this long is disabled; in seconds (5 days)."
    )
    prove_loopback_webhooks: bool = Field(False, description="Ask for proof of ownership of loopback endpoints too. For trials only.")
    public_url: str = Field(
        "", description="Where people reach decision from outside, as in `https://milepost.example.org`; stands in answer links."
    )
    answer_link_s: float = Field(604_800, gt=0, description="How long an answer link in a notice can be used, in seconds (7 days).")

    @field_validator("webhook_ports", "retry_schedule_s", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("webhook_ports")
    @classmethod
    def _ports(cls, value: frozenset[int]) -> frozenset[int]:
        if not value or not all(0 < port <= 65535 for port in value):
            raise ValueError("expected ports between 1 and 65535, as in 80,443")
        return value

    @field_validator("retry_schedule_s")
    @classmethod
    def _schedule(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(wait < 0 for wait in value):
            raise ValueError("expected waits of 0 or more seconds, as in 0,5,300")
        return value

    @field_validator("database_url", "owner_database_url", "eraser_database_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        if value and not value.startswith("postgresql+asyncpg://"):
            raise ValueError("expected postgresql+asyncpg://ROLE:PASSWORD@HOST:PORT/DATABASE")
        return value

    @field_validator("nats_url", "eraser_nats_url", "owner_nats_url")
    @classmethod
    def _nats(cls, value: str) -> str:
        if value and not all(part.strip().startswith(("nats://", "tls://")) for part in value.split(",")):
            raise ValueError("expected nats://HOST:PORT or tls://HOST:PORT, several with commas between")
        return value

    @field_validator("nats_monitor_url")
    @classmethod
    def _monitor(cls, value: str) -> str:
        if value and not all(part.strip().startswith(("http://", "https://")) for part in value.split(",")):
            raise ValueError("expected http://HOST:PORT, the server's monitoring address, several with commas between")
        return value

    @field_validator("pseudonym_key", "secret_key")
    @classmethod
    def _key(cls, value: str, info: Any) -> str:
        try:
            length = len(bytes.fromhex(value))
        except ValueError:
            raise ValueError("expected bytes in hex, as `openssl rand -hex 32` prints them") from None
        if value and (length < 32 or (info.field_name == "secret_key" and length != 32)):
            raise ValueError("expected 32 bytes, which are 64 hex digits, as `openssl rand -hex 32` prints them")
        return value

    def environment(self) -> dict[str, str]:
        """Every setting as its `MILEPOST_*` variable, from which `load()` makes the same settings in another process."""
        return {PREFIX + name.upper(): _text(getattr(self, name)) for name in type(self).model_fields}

    @property
    def names_servers(self) -> bool:
        """Whether the operator brings PostgreSQL and NATS; when neither is named, `milepost up` embeds both."""
        return bool(self.database_url or self.nats_url)

    @property
    def pseudonym_key_bytes(self) -> bytes:
        return bytes.fromhex(self.pseudonym_key)

    @property
    def secret_key_bytes(self) -> bytes:
        return bytes.fromhex(self.secret_key)


def load(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` on top. Raises `SettingsFault`, one line per fault, never with the value."""
    _refuse_unknown()
    try:
        return Settings(**overrides)
    except ValidationError as fault:
        raise SettingsFault("\n".join(_lines(fault))) from None


def require(settings: Settings, *names: str) -> None:
    """Raises `SettingsFault` when one of the named settings is empty. A service calls it at start with what it cannot do without."""
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        listed = ", ".join(PREFIX + name.upper() for name in missing)
        raise SettingsFault(f"{listed}: not set; set it, or let `milepost up` start everything (docs/settings.md)")


def settings_table() -> str:
    """The Markdown table of every variable: name, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value == "":
        return "(empty)"
    return f"`{_text(value)}`"


def _text(value: Any) -> str:
    if isinstance(value, frozenset | tuple):
        return ",".join(f"{part:.17g}" for part in (sorted(value) if isinstance(value, frozenset) else value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _lines(fault: ValidationError) -> Iterator[str]:
    for error in fault.errors(include_url=False, include_input=False, include_context=False):
        where = PREFIX + str(error["loc"][0]).upper() if error["loc"] else PREFIX.rstrip("_")
        yield f"{where}: {error['msg'].removeprefix('Value error, ')} (docs/settings.md)"


def _refuse_unknown() -> None:
    # A misspelt variable would otherwise leave its default in force without a word.
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsFault("\n".join(f"{name}: no such setting; docs/settings.md lists them all" for name in unknown))
