"""The Merkle tree of RFC 9162 §2.1: its hashes, its proofs and their verification.

1. An empty tree's root is SHA-256 of nothing; a leaf is hashed after 0x00, a node after 0x01.
2. A tree of n > 1 leaves splits at the largest power of two smaller than n; nothing is padded or repeated.
3. A verifier raises or returns nothing: no answer can be mistaken for another.
4. Proofs are made of complete subtrees, named by height and index, which a `Nodes` reader finds.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from taskbound.core.audit.errors import ConsistencyWrongError, InclusionWrongError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


HASH_SIZE = 32
"""Bytes in a hash."""

MAX_PROOF = 63
"""Hashes in the longest proof that is read: trees have fewer than 2^63 leaves."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves (rule 1)."""


class Nodes(Protocol):
    """Finds the hash of a complete subtree."""

    def __call__(self, height: int, index: int) -> bytes:
        """The root of the leaves ``index << height`` up to ``(index + 1) << height``.

        MUST answer for every complete subtree of the tree that is proven; any error is taken as "can't say".
        """


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with this data (rule 1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over two subtrees (rule 1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling height, left to right (rule 2)."""
    if not peaks:
        return EMPTY_ROOT
    above = peaks[-1]
    for peak in reversed(peaks[:-1]):
        above = node_hash(peak, above)
    return above


def root(size: int, nodes: Nodes) -> bytes:
    """The root of the first ``size`` leaves."""
    return _over(0, size, nodes)


def prove_inclusion(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """PATH(index, D_size) of RFC 9162 §2.1.3.1: the hashes beside the way from a leaf up to the root.

    Raises:
        InclusionWrongError: There is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise InclusionWrongError(f"record {index} is not in a log of {size}")
    beside: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            beside.append(_over(middle, end, nodes))
            end = middle
        else:
            beside.append(_over(start, middle, nodes))
            start = middle
    return tuple(reversed(beside))


def prove_consistency(old: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """PROOF(old, D_size) of RFC 9162 §2.1.4.1: the hashes that show that the tree only grew.

    Raises:
        ConsistencyWrongError: The older size is not between 0 and the newer.
    """
    if not 0 <= old <= size:
        raise ConsistencyWrongError(f"a log of {size} can't have grown from one of {old}")
    if old in (0, size):
        return ()
    beside: list[bytes] = []
    start, end, whole = 0, size, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            beside.append(_over(middle, end, nodes))
            end = middle
        else:
            beside.append(_over(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        beside.append(_over(start, end, nodes))
    return tuple(reversed(beside))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], want: bytes) -> None:
    """Go on only when the proof shows this leaf hash at this index of the tree with root ``want``.

    The algorithm is RFC 9162 §2.1.3.2, with one error for every way to be wrong.

    Raises:
        InclusionWrongError: It doesn't.
    """
    if not 0 <= index < size:
        raise InclusionWrongError(f"record {index} is not in a log of {size}")
    _require_hashes(proof, (leaf, want), InclusionWrongError)
    left, last, above = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            raise InclusionWrongError("the proof has more hashes than the log has levels")
        if left & 1 or left == last:
            above = node_hash(beside, above)
            left, last = _up_to_right(left, last)
        else:
            above = node_hash(above, beside)
        left, last = left >> 1, last >> 1
    if last != 0:
        raise InclusionWrongError("the proof has fewer hashes than the log has levels")
    if above != want:
        raise InclusionWrongError(f"the proof for record {index} leads to another root")


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Go on only when the proof shows that the newer tree only appends to the older one.

    The algorithm is RFC 9162 §2.1.4.2. Equal sizes need equal roots and no proof; size 0 is the empty root.

    Raises:
        ConsistencyWrongError: It doesn't.
    """
    if not 0 <= old <= size:
        raise ConsistencyWrongError(f"a log of {size} can't have grown from one of {old}")
    _require_hashes(proof, (old_root, new_root), ConsistencyWrongError)
    if old in (0, size):
        same = old_root == (new_root if old == size else EMPTY_ROOT)
        if proof or not same or (size == 0 and new_root != EMPTY_ROOT):
            raise ConsistencyWrongError(f"the roots of sizes {old} and {size} contradict each other")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not proof:
        raise ConsistencyWrongError("the proof is empty")
    left, last = old - 1, size - 1
    while left & 1:
        left, last = left >> 1, last >> 1
    older = newer = path[0]
    for beside in path[1:]:
        if last == 0:
            raise ConsistencyWrongError("the proof has more hashes than the log has levels")
        if left & 1 or left == last:
            older, newer = node_hash(beside, older), node_hash(beside, newer)
            left, last = _up_to_right(left, last)
        else:
            newer = node_hash(newer, beside)
        left, last = left >> 1, last >> 1
    if last != 0:
        raise ConsistencyWrongError("the proof has fewer hashes than the log has levels")
    if older != old_root:
        raise ConsistencyWrongError(f"the log was changed below size {old}")
    if newer != new_root:
        raise ConsistencyWrongError(f"the proof leads to another root of size {size}")


def _up_to_right(left: int, last: int) -> tuple[int, int]:
    """Climb past the levels at which the node has no sibling to its right."""
    while not left & 1 and left:
        left, last = left >> 1, last >> 1
    return left, last


def _split(size: int) -> int:
    """The largest power of two that is smaller than the size (rule 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _over(start: int, end: int, nodes: Nodes) -> bytes:
    """The root over the leaves from start to end, a subtree of rule 2."""
    return fold([nodes(height, index) for height, index in _complete(start, end)])


def _complete(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees (height, index) that make up a subtree of rule 2, left to right (rule 4)."""
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start >> height
        start += 1 << height


def _require_hashes(
    proof: Sequence[bytes],
    roots: tuple[bytes, bytes],
    error: type[InclusionWrongError | ConsistencyWrongError],
) -> None:
    if len(proof) > MAX_PROOF:
        raise error(f"the proof has {len(proof)} hashes, more than {MAX_PROOF}")
    if any(len(one) != HASH_SIZE for one in (*proof, *roots)):
        raise error(f"a hash is not {HASH_SIZE} bytes long")
