"""Checkpoints as signed notes (C2SP signed-note and tlog-checkpoint, Ed25519): text that any witness can read, keep and co-sign.

milepost/events/7
1024
qINS1GRFQWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=

— milepost 8fG1…
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAME: Final = "milepost"
_ED25519: Final = b"\x01"
_MARK: Final = "\n— "


class NoteFault(ValueError):
    """A checkpoint that is not one of ours, or whose signature does not hold; the text says which."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a tree: its first `size` leaves have this root. `at`: when that was signed, RFC 3339 in UTC."""

    tree: str
    partition: int
    size: int
    root: bytes
    at: str

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{NAME}/{self.tree}/{self.partition}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{self.at}\n"


class Signer:
    """Signs with the Ed25519 key made from a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._id = _key_id(self.public)

    @property
    def verifier(self) -> "Verifier":
        return Verifier(self.public)

    def note(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        signature = self._id + self._key.sign(checkpoint.text.encode())
        return f"{checkpoint.text}{_MARK}{NAME} {base64.b64encode(signature).decode()}\n"

    def sign(self, message: bytes) -> bytes:
        """64 bytes; `message` begins with what it is for."""
        return self._key.sign(message)


class Verifier:
    """Reads what the owner of this public key (32 bytes) signed."""

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self._id = _key_id(public)

    @property
    def text(self) -> str:
        """The key as a witness takes it (C2SP signed-note): name, key id, key."""
        return f"{NAME}+{self._id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def read(cls, text: str) -> "Verifier":
        """From `text`. Raises `NoteFault`."""
        try:
            name, key_id, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            found = cls(raw[1:])
        except (ValueError, binascii.Error):
            raise NoteFault("not a public key; expected milepost+KEYID+BASE64, as GET /v1/audit/key shows it") from None
        if name != NAME or raw[:1] != _ED25519 or found._id.hex() != key_id:
            raise NoteFault("not a public key of Milepost; expected milepost+KEYID+BASE64, as GET /v1/audit/key shows it")
        return found

    def open(self, note: str) -> Checkpoint:
        """The checkpoint of a note. Raises `NoteFault` unless this key signed it; signatures of others (witnesses) are passed over."""
        head, mark, signatures = note.partition(_MARK)
        try:
            origin, size, root, at, *rest = head.split("\n")
            name, tree, partition = origin.split("/")
            found = Checkpoint(tree, int(partition), int(size), base64.b64decode(root, validate=True), at)
        except (ValueError, binascii.Error):
            raise NoteFault("not a checkpoint; expected origin, size, root, time and a signature") from None
        if not mark or name != NAME or rest != [""] or found.text != head or not signatures.endswith("\n"):
            raise NoteFault("not a checkpoint of Milepost; expected origin, size, root, time and a signature")
        if not any(self._signed(line, head) for line in (mark + signatures).split("\n")):
            raise NoteFault(f"the checkpoint of {tree}/{partition} at {size} is not signed with the key {self._id.hex()}")
        return found

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether the key signed this message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _signed(self, line: str, text: str) -> bool:
        prefix = f"{_MARK.strip()} {NAME} "
        if not line.startswith(prefix):
            return False
        try:
            raw = base64.b64decode(line[len(prefix) :], validate=True)
        except binascii.Error:
            return False
        # Base64 leaves bits unused at its end: only one way to write a signature is taken.
        exact = base64.b64encode(raw).decode() == line[len(prefix) :]
        return exact and raw[:4] == self._id and self.holds(text.encode(), raw[4:])


def _key_id(public: bytes) -> bytes:
    return sha256(f"{NAME}\n".encode() + _ED25519 + public).digest()[:4]
