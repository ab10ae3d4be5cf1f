from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.audit import merkle
from taskbound.core.audit.errors import ConsistencyWrongError, InclusionWrongError
from tests.core.audit import model_merkle as model

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTOR_LEAVES = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
VECTOR_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
INCLUSION_5_OF_8 = (
    "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
    "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
)
CONSISTENCY_3_TO_7 = (
    "ApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c=",
    "B1Bqhf2d0vEg62lPhgEeW7RmLlxBWmKRcDPUqWJEh+c=",
    "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=",
    "g327FS6bB5AQcX6E6GXaTrwPoZioBtWdMb8VrM7yLQ4=",
)


def leaves_of(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(count)]


class Leaves:
    """Finds subtrees by hashing them again from the leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def __call__(self, height: int, index: int) -> bytes:
        part = self.leaves[index << height : (index + 1) << height]
        assert len(part) == 1 << height
        return model.root(part)


def vector() -> list[bytes]:
    return [merkle.leaf_hash(one) for one in VECTOR_LEAVES]


@pytest.mark.parametrize("size", sorted(VECTOR_ROOTS))
def test_the_roots_of_the_vectors_come_out(size: int) -> None:
    assert merkle.root(size, Leaves(vector())).hex() == VECTOR_ROOTS[size]


def test_the_inclusion_vector_comes_out_and_verifies() -> None:
    proof = merkle.prove_inclusion(5, 8, Leaves(vector()))
    assert proof == tuple(b64decode(one) for one in INCLUSION_5_OF_8)
    merkle.verify_inclusion(vector()[5], 5, 8, proof, bytes.fromhex(VECTOR_ROOTS[8]))


def test_the_consistency_vector_comes_out_and_verifies() -> None:
    proof = merkle.prove_consistency(3, 7, Leaves(vector()))
    assert proof == tuple(b64decode(one) for one in CONSISTENCY_3_TO_7)
    merkle.verify_consistency(3, 7, proof, bytes.fromhex(VECTOR_ROOTS[3]), bytes.fromhex(VECTOR_ROOTS[7]))


def test_the_seven_leaf_example_of_rfc_9162_section_2_1_5_comes_out() -> None:
    a, b, c, d, e, f, j = leaves_of(7)
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, el = merkle.node_hash(g, h), merkle.node_hash(i, j)
    nodes = Leaves(leaves_of(7))
    assert merkle.root(7, nodes) == merkle.node_hash(k, el)
    assert merkle.prove_inclusion(0, 7, nodes) == (b, h, el)
    assert merkle.prove_inclusion(3, 7, nodes) == (c, g, el)
    assert merkle.prove_inclusion(4, 7, nodes) == (f, j, k)
    assert merkle.prove_inclusion(6, 7, nodes) == (i, k)
    assert merkle.prove_consistency(3, 7, nodes) == (c, d, g, el)
    assert merkle.prove_consistency(4, 7, nodes) == (el,)
    assert merkle.prove_consistency(6, 7, nodes) == (i, j, k)


def tampered(proof: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    strange = sha256(b"strange").digest()
    for at in range(len(proof)):
        yield (*proof[:at], *proof[at + 1 :])
        yield (*proof[:at], strange, *proof[at + 1 :])
        yield (*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :])
        yield (*proof[:at], proof[at][:-1], *proof[at + 1 :])
        yield (*proof[:at], strange, *proof[at:])
        if at and proof[at] != proof[at - 1]:
            yield (*proof[: at - 1], proof[at], proof[at - 1], *proof[at + 1 :])
    yield (*proof, strange)
    yield (*proof, *proof[-1:], strange)


@pytest.mark.parametrize("size", range(1, 33))
def test_every_tampered_inclusion_proof_is_refused(size: int) -> None:
    leaves = leaves_of(size)
    whole = model.root(leaves)
    for index in range(size):
        proof = tuple(model.path(index, leaves))
        merkle.verify_inclusion(leaves[index], index, size, proof, whole)
        for wrong in tampered(proof):
            with pytest.raises(InclusionWrongError):
                merkle.verify_inclusion(leaves[index], index, size, wrong, whole)
        for other in (*range(index), *range(index + 1, size), -1, size, size + 5):
            with pytest.raises(InclusionWrongError):
                merkle.verify_inclusion(leaves[index], other, size, proof, whole)
        with pytest.raises(InclusionWrongError):
            merkle.verify_inclusion(sha256(b"other").digest(), index, size, proof, whole)
        with pytest.raises(InclusionWrongError):
            merkle.verify_inclusion(leaves[index], index, size, proof, sha256(b"other").digest())


@pytest.mark.parametrize("size", range(33))
def test_every_tampered_consistency_proof_is_refused(size: int) -> None:
    leaves = leaves_of(size)
    whole, other = model.root(leaves), sha256(b"other").digest()
    for old in range(size + 1):
        before = model.root(leaves[:old])
        proof = tuple(model.proof(old, leaves)) if old else ()
        merkle.verify_consistency(old, size, proof, before, whole)
        for wrong in tampered(proof):
            with pytest.raises(ConsistencyWrongError):
                merkle.verify_consistency(old, size, wrong, before, whole)
        with pytest.raises(ConsistencyWrongError):
            merkle.verify_consistency(old, size, proof, other, whole)
        if old:
            with pytest.raises(ConsistencyWrongError):
                merkle.verify_consistency(old, size, proof, before, other)
        for bad in (-1, size + 1):
            with pytest.raises(ConsistencyWrongError):
                merkle.verify_consistency(bad, size, proof, before, whole)
    for size_before in range(1, size):
        with pytest.raises(ConsistencyWrongError):
            merkle.verify_consistency(size_before, size, (), model.root(leaves[:size_before]), whole)


def test_an_inclusion_proof_never_passes_for_a_tree_in_which_the_way_up_has_another_length() -> None:
    lengths = {
        (index, size): len(model.path(index, leaves_of(size)))
        for size in range(1, 25)
        for index in range(size)
    }
    for (index, size), length in lengths.items():
        if size > 12:
            continue
        leaves = leaves_of(size)
        whole, proof = model.root(leaves), model.path(index, leaves)
        for (other, other_size), other_length in lengths.items():
            if other_length != length:
                with pytest.raises(InclusionWrongError):
                    merkle.verify_inclusion(leaves[index], other, other_size, proof, whole)


def test_a_consistency_proof_never_passes_for_sizes_whose_proof_has_another_length() -> None:
    lengths = {
        (old, size): len(model.proof(old, leaves_of(size))) for size in range(2, 20) for old in range(1, size)
    }
    for (old, size), length in lengths.items():
        leaves = leaves_of(size)
        proof = model.proof(old, leaves)
        before, after = model.root(leaves[:old]), model.root(leaves)
        for (other, other_size), other_length in lengths.items():
            if other_length != length:
                with pytest.raises(ConsistencyWrongError):
                    merkle.verify_consistency(other, other_size, proof, before, after)


def test_hashes_whose_border_was_shifted_are_refused() -> None:
    one, two = leaves_of(2)
    whole = merkle.node_hash(one, two)
    assert merkle.node_hash(one[:-1], one[-1:] + two) == whole
    with pytest.raises(InclusionWrongError, match="32 bytes"):
        merkle.verify_inclusion(one[:-1], 0, 2, [one[-1:] + two], whole)
    with pytest.raises(ConsistencyWrongError, match="32 bytes"):
        merkle.verify_consistency(1, 2, [one[-1:] + two], one[:-1], whole)


def test_the_empty_log_has_only_the_empty_root() -> None:
    strange = sha256(b"strange").digest()
    merkle.verify_consistency(0, 0, (), merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)
    with pytest.raises(ConsistencyWrongError):
        merkle.verify_consistency(0, 0, (), strange, strange)
    with pytest.raises(ConsistencyWrongError):
        merkle.verify_consistency(0, 5, (), strange, strange)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_proof_verifies_for_no_other_tree(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    changed = data.draw(st.integers(0, size - 1))
    forged = [*leaves[:changed], merkle.leaf_hash(b"forged"), *leaves[changed + 1 :]]
    proof = model.path(index, leaves)
    with pytest.raises(InclusionWrongError):
        merkle.verify_inclusion(leaves[index], index, size, proof, model.root(forged))
    old = data.draw(st.integers(changed + 1, size))
    with pytest.raises(ConsistencyWrongError):
        merkle.verify_consistency(
            old, size, model.proof(old, forged), model.root(leaves[:old]), model.root(forged)
        )


@pytest.mark.parametrize("index", [-1, 8, 100])
def test_there_is_no_inclusion_proof_for_a_leaf_outside_the_tree(index: int) -> None:
    with pytest.raises(InclusionWrongError, match="not in a log of 8"):
        merkle.prove_inclusion(index, 8, Leaves(vector()))


def test_everything_grew_from_nothing_and_from_itself_without_a_proof() -> None:
    for size in range(9):
        assert merkle.prove_consistency(0, size, Leaves(vector())) == ()
        assert merkle.prove_consistency(size, size, Leaves(vector())) == ()


@pytest.mark.parametrize("old", [-1, 9])
def test_there_is_no_consistency_proof_from_a_larger_tree(old: int) -> None:
    with pytest.raises(ConsistencyWrongError, match="can't have grown"):
        merkle.prove_consistency(old, 8, Leaves(vector()))


def test_a_proof_longer_than_any_tree_is_high_is_refused_before_hashing() -> None:
    endless = [sha256(b"x").digest()] * 64
    with pytest.raises(InclusionWrongError, match="more than 63"):
        merkle.verify_inclusion(endless[0], 0, 1 << 62, endless, endless[0])
    with pytest.raises(ConsistencyWrongError, match="more than 63"):
        merkle.verify_consistency(1, 1 << 62, endless, endless[0], endless[0])
