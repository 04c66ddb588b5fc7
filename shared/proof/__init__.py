"""What makes history provable: commitments to rows, Merkle trees over them, signed checkpoints, and the keys of athletes.

Pure, save for the randomness of new keys. Knows bytes and numbers only: no table, no service. docs/proof.md says what is proven to whom.
"""

from shared.proof.commitments import Committed, commitment, entry, event_salt, leaf_of, row_salt
from shared.proof.envelope import Envelope
from shared.proof.keyring import KeyFault, Keyring
from shared.proof.merkle import (
    BLOCK,
    EMPTY,
    Frontier,
    Hashes,
    ProofFault,
    consistency,
    inclusion,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from shared.proof.notes import Checkpoint, NoteFault, Signer, Verifier

__all__ = [
    "BLOCK",
    "EMPTY",
    "Checkpoint",
    "Committed",
    "Envelope",
    "Frontier",
    "Hashes",
    "KeyFault",
    "Keyring",
    "NoteFault",
    "ProofFault",
    "Signer",
    "Verifier",
    "commitment",
    "consistency",
    "entry",
    "event_salt",
    "inclusion",
    "leaf_hash",
    "leaf_of",
    "node_hash",
    "row_salt",
    "verify_consistency",
    "verify_inclusion",
]
