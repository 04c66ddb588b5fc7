"""What is asked of an endpoint, judged: each fault names the member and what was expected there."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Request
from yarl import URL

from services.notify import keys
from services.notify.api.forms import QuietHours
from services.notify.guard import Rules, UrlFault, check_url, leads_to_loopback
from services.notify.release import types_for
from services.notify.sign import SecretFault
from shared.problems import Fault, Problem
from shared.settings import Settings


def needs_no_proof(request: Request, url: URL) -> bool:
    """Whether whoever gave the address is its owner anyway: it stays on this machine."""
    settings: Settings = request.app.state.settings
    return leads_to_loopback(url) and not settings.prove_loopback_webhooks


def checked_url(request: Request, text: str, faults: list[Fault]) -> URL | None:
    """The URL, or None with a fault."""
    rules: Rules = request.app.state.rules
    try:
        return check_url(text, rules)
    except UrlFault as fault:
        faults.append({"path": "url", "expected": fault.expected})
        return None


def check_types(role: str, types: list[Any] | None, faults: list[Fault]) -> None:
    """A fault for types that the role may not have."""
    allowed = types_for(role)
    if refused := sorted(set(types or ()) - set(allowed)):
        faults.append({"path": "types", "found": ", ".join(refused), "expected": f"for role {role}, some of {', '.join(allowed)}"})


def check_quiet_hours(hours: QuietHours | None, faults: list[Fault]) -> None:
    """A fault for a time zone that there is none of."""
    if hours is None or hours.timezone is None:
        return
    try:
        ZoneInfo(hours.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.append({"path": "quiet_hours.timezone", "expected": "an IANA time zone, as in Europe/Zurich"})


def schemes_of(asked: list[Any] | None) -> list[str]:
    """The signature schemes asked for, `v1` when none was."""
    return sorted(set(asked or ["v1"]))


def made_keys(schemes: list[Any], secret: str | None, faults: list[Fault]) -> keys.Keys | None:
    """New keys for these schemes, or None with a fault."""
    if secret is not None and "v1" not in schemes:
        faults.append({"path": "secret", "expected": "none; with v1a alone nothing is shared"})
        return None
    try:
        return keys.make(list(schemes), secret)
    except SecretFault as fault:
        faults.append({"path": "secret", "expected": str(fault).removeprefix("expected ")})
        return None


def invalid(faults: list[Fault]) -> Problem:
    """The answer that says what is wrong with what was asked."""
    return Problem(422, "Request not valid", "the endpoint cannot be as asked; `faults` says why", "invalid-request", faults)
