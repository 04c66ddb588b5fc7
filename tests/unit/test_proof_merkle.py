"""The trees are those of RFC 6962, every proof that is given holds, and none holds for anything else."""

from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from shared.proof import (
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
from shared.proof.merkle import block_root

# The test vectors of certificate-transparency (Merkle tree tests): inputs, and the root after each.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % n) for n in range(count)]


def naive(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word by word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return node_hash(naive(hashes[:k]), naive(hashes[k:]))


def test_the_roots_are_those_of_certificate_transparency():
    tree = Frontier()
    assert tree.root() == EMPTY
    for text, root in zip(INPUTS, ROOTS, strict=True):
        tree.append(leaf_hash(bytes.fromhex(text)))
        assert tree.root().hex() == root


@given(st.integers(0, 3 * BLOCK + 5))
def test_growing_leaf_by_leaf_block_by_block_and_all_at_once_end_in_one_root(count):
    hashes = leaves(count)
    one, other = Frontier(), Frontier()
    one.extend(hashes)
    whole = count - count % BLOCK
    for at in range(0, whole, BLOCK):
        other.extend_block(block_root(hashes[at : at + BLOCK]))
    other.extend(hashes[whole:])
    assert one.root() == other.root() == naive(hashes) == Hashes.of(hashes).root(0, count)
    assert one == other


@given(st.data(), st.integers(1, 3 * BLOCK + 5))
def test_every_leaf_is_proven_from_the_few_blocks_that_a_proof_needs(data, size):
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    needed = Hashes.needed(size, index)
    known = Hashes(
        {block: hashes[block * BLOCK : (block + 1) * BLOCK] for block in needed},
        {block: block_root(hashes[block * BLOCK : (block + 1) * BLOCK]) for block in range(size // BLOCK)},
    )
    path = inclusion(known, index, size)
    assert path == inclusion(Hashes.of(hashes), index, size)
    root = naive(hashes)
    verify_inclusion(hashes[index], index, size, path, root)
    for wrong in (
        (leaf_hash(b"other"), index, size, path, root),
        (hashes[index], index, size, path, leaf_hash(b"other")),
        (hashes[index], index, size, [*path, root], root),
        (hashes[index], (index + 1) % size if size > 1 else 1, size, path, root),
    ):
        with pytest.raises(ProofFault):
            verify_inclusion(*wrong)


@given(st.data(), st.integers(1, 2 * BLOCK + 5))
def test_every_smaller_tree_is_proven_to_be_the_beginning_of_the_larger(data, size):
    old = data.draw(st.integers(0, size))
    hashes = leaves(size)
    path = consistency(Hashes.of(hashes), old, size)
    old_root, root = naive(hashes[:old]), naive(hashes)
    verify_consistency(old, old_root, size, root, path)
    with pytest.raises(ProofFault):
        verify_consistency(old, leaf_hash(b"other"), size, root, path)
    with pytest.raises(ProofFault):
        verify_consistency(old, old_root, size, root, [*path, root])
    if 0 < old < size:
        with pytest.raises(ProofFault):
            verify_consistency(old, old_root, size, leaf_hash(b"other"), path)


@given(st.data(), st.integers(1, 64))
def test_no_flipped_bit_of_a_proof_is_overlooked(data, size):
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    path = inclusion(Hashes.of(hashes), index, size)
    if path:
        place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
        path[place] = (int.from_bytes(path[place], "big") ^ 1 << bit).to_bytes(32, "big")
        with pytest.raises(ProofFault):
            verify_inclusion(hashes[index], index, size, path, naive(hashes))


def test_what_is_not_in_the_tree_has_no_proof():
    known = Hashes.of(leaves(3))
    for index, size in ((3, 3), (-1, 3), (0, 0), (0, 5)):
        with pytest.raises(ProofFault):
            inclusion(known, index, size)
    with pytest.raises(ProofFault):
        consistency(known, 4, 3)
    with pytest.raises(ValueError, match="a block begins"):
        Frontier(1, [b""]).extend_block(b"")
