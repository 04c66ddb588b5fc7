"""What each role may do. A key's scopes are its role's, or fewer, or others that its role permits."""

from collections.abc import Iterable
from typing import Final

SCOPES: Final = {
    "events:write": "send events",
    "events:read": "read what became of events",
    "files:write": "send training files",
    "clinical:write": "record clearances, answers, adjustments or a start_step",
    "decisions:read": "read courses, decisions and their history",
    "recommendations:read": "read released recommendations",
    "protocols:read": "read rule packs",
    "protocols:write": "draft, check, test, backtest and submit rule packs",
    "protocols:approve": "approve, decline, publish, roll back and retire rule packs",
    "audit:read": "replay history and compare",
    "athletes:erase": "erase athletes for good",
    "athletes:export": "export everything held of an athlete",
    "endpoints:read": "read webhook endpoints and what was sent",
    "endpoints:write": "create, change and remove webhook endpoints",
    "keys:admin": "create, list and revoke API keys",
}

ROLE_SCOPES: Final = {
    "clinician": frozenset(
        {
            "events:write",
            "events:read",
            "files:write",
            "clinical:write",
            "athletes:export",
            "decisions:read",
            "recommendations:read",
            "protocols:read",
            "protocols:approve",
        }
    ),
    "coach": frozenset({"recommendations:read"}),
    "integrator": frozenset(
        {
            "events:write",
            "events:read",
            "files:write",
            "decisions:read",
            "recommendations:read",
            "protocols:read",
            "endpoints:read",
            "endpoints:write",
        }
    ),
    "author": frozenset({"protocols:read", "protocols:write"}),
    "auditor": frozenset({"events:read", "decisions:read", "recommendations:read", "protocols:read", "audit:read", "endpoints:read"}),
    # Runs the installation; reading athletes' records is not part of that.
    "admin": frozenset({"keys:admin", "athletes:erase", "endpoints:read", "endpoints:write", "protocols:read", "protocols:approve"}),
}
"""The scopes a key of the role has when none are named."""

ROLES: Final = tuple(ROLE_SCOPES)


class ScopeRefused(ValueError):
    """A role or scope that does not exist or may not be combined; the text says what was expected."""


def scopes_for(role: str, asked: Iterable[str] | None = None) -> frozenset[str]:
    """The scopes of a new key: those asked for, or the role's own. Raises `ScopeRefused`.

    >>> sorted(scopes_for("coach"))
    ['recommendations:read']
    """
    if role not in ROLE_SCOPES:
        raise ScopeRefused(f"role {role!r} does not exist; expected one of {', '.join(ROLES)}")
    if asked is None:
        return ROLE_SCOPES[role]
    scopes = frozenset(asked)
    unknown = sorted(scopes - SCOPES.keys())
    if unknown:
        raise ScopeRefused(f"scope {', '.join(map(repr, unknown))} does not exist; expected some of {', '.join(SCOPES)}")
    if not scopes:
        raise ScopeRefused(f"a key needs at least one scope; expected some of {', '.join(SCOPES)}")
    if role == "coach" and scopes != ROLE_SCOPES["coach"]:
        raise ScopeRefused("a coach reads released recommendations and nothing else; expected recommendations:read alone")
    if role != "clinician" and "clinical:write" in scopes:
        raise ScopeRefused(f"clinical:write is for role clinician only, and this key's role is {role}")
    if role not in ("clinician", "admin") and "protocols:approve" in scopes:
        raise ScopeRefused(f"protocols:approve is for a clinical lead, whose role is clinician or admin, and this key's role is {role}")
    return scopes
