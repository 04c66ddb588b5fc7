"""Merkle trees of RFC 6962: SHA-256, leaves under 0x00, inner nodes under 0x01, the left half as large as a power of two can be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

BLOCK: Final = 256
"""Leaves whose common node is kept, so that a proof reads a few blocks and never the whole tree."""

EMPTY: Final = sha256(b"").digest()
"""The root of a tree without leaves."""


class ProofFault(ValueError):
    """A proof that does not hold, or that cannot be given; the text says why."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf with this content."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: the roots of its full subtrees, the largest first.

    >>> tree = Frontier()
    >>> tree.extend(leaf_hash(bytes([n])) for n in range(3))
    >>> tree.root() == node_hash(node_hash(leaf_hash(b"\\0"), leaf_hash(b"\\1")), leaf_hash(b"\\2"))
    True
    """

    size: int = 0
    edge: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> None:
        """Take in the hash of one more leaf."""
        edge, filled = self.edge, self.size
        while filled & 1:
            leaf = sha256(b"\1" + edge.pop() + leaf).digest()
            filled >>= 1
        edge.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.append(leaf)

    def extend_block(self, root: bytes, size: int = BLOCK) -> None:
        """Take in the root of a whole subtree of `size` leaves, a power of two. Raises `ValueError` where such a one cannot begin."""
        filled, within = divmod(self.size, size)
        if within or size & (size - 1):
            raise ValueError(f"a block begins at a multiple of its size, a power of two: {size} leaves do not follow {self.size}")
        while filled & 1:
            root = sha256(b"\1" + self.edge.pop() + root).digest()
            filled >>= 1
        self.edge.append(root)
        self.size += size

    def root(self) -> bytes:
        if not self.edge:
            return EMPTY
        found = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            found = node_hash(left, found)
        return found


def block_root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


@dataclass(frozen=True)
class Hashes:
    """What is known of a tree: the leaf hashes of some blocks, by the block's number, and the roots of whole blocks."""

    leaves: Mapping[int, Sequence[bytes]]
    blocks: Mapping[int, bytes]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> "Hashes":
        """Everything of a tree, from all its leaf hashes."""
        return cls({at // BLOCK: leaves[at : at + BLOCK] for at in range(0, len(leaves), BLOCK)}, {})

    @staticmethod
    def needed(size: int, *places: int) -> list[int]:
        """The blocks whose leaves a proof needs: those of `places`, and the last one when it is not whole."""
        last = [size // BLOCK] if size % BLOCK else []
        return sorted({place // BLOCK for place in places} | set(last))

    def root(self, begin: int, end: int) -> bytes:
        """The root of the leaves `begin` up to `end`; `begin` as in the tree's own subtrees. Raises `ProofFault` where one is not known."""
        if begin == end:
            return EMPTY
        block, first = divmod(begin, BLOCK)
        if end - begin == BLOCK and not first and block in self.blocks:
            return self.blocks[block]
        if first + end - begin <= BLOCK:
            leaves = self.leaves.get(block, ())[first : first + end - begin]
            if len(leaves) == end - begin:
                return block_root(leaves)
            raise ProofFault(f"leaves {begin} to {end - 1} are not known")
        middle = begin + _half(end - begin)
        return node_hash(self.root(begin, middle), self.root(middle, end))


def _half(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def inclusion(tree: Hashes, index: int, size: int) -> list[bytes]:
    """The path that proves leaf `index` of the tree of `size` leaves (RFC 6962, 2.1.1), from the leaf up."""
    if not 0 <= index < size:
        raise ProofFault(f"leaf {index} is not in a tree of {size} leaves")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _half(end - begin)
        if index < middle:
            path.append(tree.root(middle, end))
            end = middle
        else:
            path.append(tree.root(begin, middle))
            begin = middle
    return path[::-1]


def consistency(tree: Hashes, old: int, size: int) -> list[bytes]:
    """The nodes that prove that the tree of `size` leaves begins with that of `old` (RFC 6962, 2.1.2)."""
    if not 0 <= old <= size:
        raise ProofFault(f"a tree of {old} leaves cannot be the beginning of one of {size}")
    if old in (0, size):
        return []
    path: list[bytes] = []
    begin, end, whole = 0, size, True
    while old != end:
        middle = begin + _half(end - begin)
        if old <= middle:
            path.append(tree.root(middle, end))
            end = middle
        else:
            path.append(tree.root(begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(tree.root(begin, end))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises `ProofFault` unless `path` proves that the leaf hash stands at `index` in the tree with this size and root."""
    if not 0 <= index < size:
        raise ProofFault(f"leaf {index} is not in a tree of {size} leaves")
    at, last, found = index, size - 1, leaf
    for node in path:
        if last == 0:
            raise ProofFault("the proof is longer than the tree is high")
        if at & 1 or at == last:
            found = node_hash(node, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, node)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise ProofFault(f"leaf {index} is not what the checkpoint of {size} leaves says")


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Raises `ProofFault` unless `path` proves that the larger tree begins with the smaller one."""
    if not 0 <= old <= size:
        raise ProofFault(f"a tree of {old} leaves cannot be the beginning of one of {size}")
    if old == 0 or old == size:
        if path or (old_root != EMPTY if old == 0 else old_root != root):
            raise ProofFault(f"the trees of {old} and {size} leaves do not agree")
        return
    nodes = list(path)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if at:
        if not nodes:
            raise ProofFault("the proof is shorter than the tree is high")
        first = second = nodes.pop(0)
    else:
        first = second = old_root
    for node in nodes:
        if last == 0:
            raise ProofFault("the proof is longer than the tree is high")
        if at & 1 or at == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, node)
        at, last = at >> 1, last >> 1
    if last or first != old_root or second != root:
        raise ProofFault(f"the tree of {size} leaves does not begin with that of {old}")
