from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.file import KeyDirectory, create_key_directory
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.core.audit import EMPTY_ROOT, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.ports.signer import SignedHeads


@pytest.fixture(params=["memory", "file"])
def heads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SignedHeads]:
    if request.param == "memory":
        yield MemorySignedHeads()
        return
    create_key_directory(tmp_path / "key")
    with KeyDirectory(tmp_path / "key") as keys:
        yield keys.heads


def checkpoint(size: int, origin: str = "a") -> Checkpoint:
    return Checkpoint(origin=origin, size=size, root=size.to_bytes(32))


def test_a_new_memory_holds_the_empty_log(heads: SignedHeads) -> None:
    assert heads.read("a") == Checkpoint(origin="a", size=0, root=EMPTY_ROOT)


def test_what_was_written_last_is_remembered_log_by_log(heads: SignedHeads) -> None:
    heads.write(checkpoint(3))
    heads.write(checkpoint(7, "b\n\u2028\U0001f600"))
    heads.write(checkpoint(5))
    assert heads.read("a") == checkpoint(5)
    assert heads.read("b\n\u2028\U0001f600") == checkpoint(7, "b\n\u2028\U0001f600")
    assert heads.read("c").size == 0


def test_writing_the_same_again_changes_nothing(heads: SignedHeads) -> None:
    heads.write(checkpoint(3))
    heads.write(checkpoint(3))
    assert heads.read("a") == checkpoint(3)


def test_the_largest_size_is_remembered_exactly(heads: SignedHeads) -> None:
    heads.write(Checkpoint(origin="a", size=2**63 - 1, root=bytes(32)))
    assert heads.read("a").size == 2**63 - 1
