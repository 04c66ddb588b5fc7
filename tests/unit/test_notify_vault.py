"""Secrets at rest."""

import pytest

from services.notify.sign import new_secret
from services.notify.vault import Vault, VaultFault

KEY = bytes(range(32))


def test_what_was_sealed_opens_again() -> None:
    secret = new_secret()
    assert Vault(KEY).open(Vault(KEY).seal(secret, "clinic-a", "ep_1"), "clinic-a", "ep_1") == secret


def test_the_same_secret_never_looks_the_same() -> None:
    secret, vault = new_secret(), Vault(KEY)
    sealed = vault.seal(secret, "clinic-a", "ep_1")
    assert sealed != vault.seal(secret, "clinic-a", "ep_1")
    assert secret.encode() not in sealed


@pytest.mark.parametrize(("tenant", "endpoint"), [("clinic-b", "ep_1"), ("clinic-a", "ep_2")])
def test_a_secret_moved_to_another_endpoint_or_tenant_does_not_open(tenant: str, endpoint: str) -> None:
    sealed = Vault(KEY).seal(new_secret(), "clinic-a", "ep_1")
    with pytest.raises(VaultFault):
        Vault(KEY).open(sealed, tenant, endpoint)


def test_another_installations_key_or_a_changed_bit_does_not_open() -> None:
    sealed = Vault(KEY).seal(new_secret(), "clinic-a", "ep_1")
    for vault, text in ((Vault(b"k" * 32), sealed), (Vault(KEY), sealed[:-1] + bytes([sealed[-1] ^ 1])), (Vault(KEY), b"")):
        with pytest.raises(VaultFault):
            vault.open(text, "clinic-a", "ep_1")
