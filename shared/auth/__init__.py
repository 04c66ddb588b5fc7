"""Who asks: API keys with tenant, role, scopes and expiry, and the FastAPI dependency that yields a `Principal`.

Reads and writes the table `api_keys` only; knows no service.
"""

from shared.auth.guard import requires
from shared.auth.keytext import KeyText
from shared.auth.roles import ROLE_SCOPES, ROLES, SCOPES, ScopeRefused
from shared.auth.store import KeyRecord, KeyRefused, Principal, create_key, find_principal, list_keys, revoke_key

__all__ = [
    "ROLES",
    "ROLE_SCOPES",
    "SCOPES",
    "KeyRecord",
    "KeyRefused",
    "KeyText",
    "Principal",
    "ScopeRefused",
    "create_key",
    "find_principal",
    "list_keys",
    "requires",
    "revoke_key",
]
