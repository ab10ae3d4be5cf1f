from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.file import KeyDirectory, create_key_directory
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.core.audit import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    Checkpoint,
    CheckpointMalformedError,
    ConsistencyWrongError,
    SignatureWrongError,
    TamperedError,
    TileNodes,
    VerifierKeyError,
    grow,
    leaf_hash,
    open_checkpoint,
    parse_verifier_key,
    prove_consistency,
)
from taskbound.flows.audit.sequencing import CheckpointSigner
from taskbound.ports.signer import CheckpointOlderError, OriginUnknownError, SignerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORIGIN = "audit.example/one"
CHILD = Path(__file__).with_name("signer_child.py")
STEPS = ("open", "fchmod", "write", "fsync", "close", "replace")


class Tree:
    """A log's tree, as whoever asks for a signature has it."""

    def __init__(self, name: str, size: int, *, like: Tree | None = None, until: int = 0) -> None:
        self.leaves = [leaf_hash(f"{name} {number}".encode()) for number in range(size)]
        if like is not None:
            self.leaves[:until] = like.leaves[:until]
        self._tiles = {(one.level, one.index): one.hashes for one in grow(EMPTY_FRONTIER, self.leaves).tiles}

    def root(self, size: int) -> bytes:
        return grow(EMPTY_FRONTIER, self.leaves[:size]).frontier.root

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        return prove_consistency(old, size, TileNodes(lambda level, at: self._tiles[level, at]))

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(origin=ORIGIN, size=size, root=self.root(size))

    def ask(self, signer: CheckpointSigner, size: int, *, since: int | None = None) -> bytes:
        old = signer.last_signed(ORIGIN).size if since is None else since
        return signer.sign_checkpoint(ORIGIN, size, self.root(size), self.proof(old, size))


TRUE = Tree("true", 600)
FORK = Tree("fork", 600, like=TRUE, until=3)
"""Shares its first three records with the true log."""
FALSE = Tree("false", 600)


def signer_of(keys: KeyDirectory) -> CheckpointSigner:
    return CheckpointSigner(origins=[ORIGIN], key=keys.key, heads=keys.heads, verify=verify_ed25519)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    create_key_directory(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def keys(place: Path) -> Iterator[KeyDirectory]:
    with KeyDirectory(place) as held:
        yield held


@pytest.fixture
def signer(keys: KeyDirectory) -> CheckpointSigner:
    return signer_of(keys)


def test_a_checkpoint_that_only_appends_is_signed_and_opens_with_the_logs_key(
    signer: CheckpointSigner,
) -> None:
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    assert key.name == ORIGIN
    for size in (1, 2, 3, 5, 256, 257, 600):
        note = TRUE.ask(signer, size)
        assert open_checkpoint(note, key, verify_ed25519) == TRUE.checkpoint(size)
        assert signer.last_signed(ORIGIN) == TRUE.checkpoint(size)


def test_nothing_was_signed_of_a_new_log(signer: CheckpointSigner) -> None:
    assert signer.last_signed(ORIGIN) == Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)


def test_an_asker_that_was_taken_over_gets_no_second_version_of_what_was_signed(
    signer: CheckpointSigner,
) -> None:
    TRUE.ask(signer, 5)
    for other in (FORK, FALSE):
        for size in (5, 6, 8, 600):
            for since in (0, 3, 5):
                with pytest.raises(TamperedError):
                    other.ask(signer, size, since=since)
    assert signer.last_signed(ORIGIN) == TRUE.checkpoint(5)
    TRUE.ask(signer, 6)


def test_a_fork_after_what_was_signed_can_be_signed_once_and_then_the_other_can_not(
    signer: CheckpointSigner,
) -> None:
    TRUE.ask(signer, 3)
    FORK.ask(signer, 7)
    with pytest.raises(ConsistencyWrongError):
        TRUE.ask(signer, 8)


def test_a_checkpoint_of_fewer_records_is_never_signed_again_even_if_it_was(
    signer: CheckpointSigner,
) -> None:
    TRUE.ask(signer, 5)
    TRUE.ask(signer, 9)
    for size in (0, 1, 5, 8):
        with pytest.raises(CheckpointOlderError):
            TRUE.ask(signer, size, since=0)


def test_a_proof_from_another_size_than_the_last_signed_is_refused(signer: CheckpointSigner) -> None:
    TRUE.ask(signer, 5)
    TRUE.ask(signer, 9)
    with pytest.raises(ConsistencyWrongError):
        TRUE.ask(signer, 20, since=5)
    TRUE.ask(signer, 20)


def test_asked_again_for_the_last_it_gives_the_same_bytes_whatever_proof_comes_along(
    signer: CheckpointSigner,
) -> None:
    TRUE.ask(signer, 5)
    first = TRUE.ask(signer, 9)
    assert TRUE.ask(signer, 9) == first
    assert TRUE.ask(signer, 9, since=5) == first


@pytest.mark.parametrize("origin", ["", "audit.example/two", "audit.example/one\n", "audit.example/One"])
def test_it_signs_for_no_other_log(signer: CheckpointSigner, origin: str) -> None:
    with pytest.raises(OriginUnknownError):
        signer.sign_checkpoint(origin, 1, TRUE.root(1), ())
    with pytest.raises(OriginUnknownError):
        signer.last_signed(origin)
    with pytest.raises(OriginUnknownError):
        signer.verifier_key(origin)


def test_each_log_has_its_own_memory(keys: KeyDirectory) -> None:
    signer = CheckpointSigner(origins=["one", "two"], key=keys.key, heads=keys.heads, verify=verify_ed25519)
    signer.sign_checkpoint("one", 5, TRUE.root(5), ())
    signer.sign_checkpoint("two", 3, FALSE.root(3), ())
    assert [signer.last_signed(one).size for one in ("one", "two")] == [5, 3]
    assert signer.verifier_key("one") != signer.verifier_key("two")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb"])
def test_an_origin_that_can_not_name_a_key_is_refused_at_the_start(keys: KeyDirectory, origin: str) -> None:
    with pytest.raises(VerifierKeyError):
        CheckpointSigner(origins=[origin], key=keys.key, heads=keys.heads, verify=verify_ed25519)


@pytest.mark.parametrize(
    ("size", "root"), [(-1, TRUE.root(1)), (2**63, TRUE.root(1)), (1, b""), (1, bytes(31)), (0, bytes(32))]
)
def test_what_is_no_checkpoint_is_not_signed(signer: CheckpointSigner, size: int, root: bytes) -> None:
    with pytest.raises(CheckpointMalformedError):
        signer.sign_checkpoint(ORIGIN, size, root, ())
    assert signer.last_signed(ORIGIN).size == 0


def test_a_signature_that_went_wrong_never_leaves() -> None:
    class Faulty(Ed25519Key):
        def sign(self, message: bytes) -> bytes:
            right = super().sign(message)
            return bytes([right[0] ^ 1]) + right[1:]

    key = Faulty(Ed25519Key.generate().private)
    signer = CheckpointSigner(origins=[ORIGIN], key=key, heads=MemorySignedHeads(), verify=verify_ed25519)
    with pytest.raises(SignatureWrongError):
        TRUE.ask(signer, 5)


def test_of_many_askers_at_once_with_two_logs_only_one_log_is_signed(signer: CheckpointSigner) -> None:
    TRUE.ask(signer, 3)

    def ask(number: int) -> bytes | None:
        try:
            return (TRUE, FORK)[number % 2].ask(signer, 4 + number % 7)
        except (TamperedError, CheckpointOlderError):
            return None

    with ThreadPoolExecutor(16) as pool:
        notes = [one for one in pool.map(ask, range(200)) if one]
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    signed = [open_checkpoint(note, key, verify_ed25519) for note in notes]
    assert signed
    assert any(all(one == tree.checkpoint(one.size) for one in signed) for tree in (TRUE, FORK))


# --- the memory is durable before a signature exists ------------------------------------------------------


def test_the_memory_is_synced_and_so_is_its_directory_before_the_key_signs(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Noting(Ed25519Key):
        def sign(self, message: bytes) -> bytes:
            done.append("sign")
            return super().sign(message)

    signer = CheckpointSigner(
        origins=[ORIGIN], key=Noting(keys.key.private), heads=keys.heads, verify=verify_ed25519
    )

    def noting(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **named: object) -> object:
            done.append(name)
            return real(*arguments, **named)

        return step

    for name in ("write", "fsync", "replace"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    for _ in ("first", "again, as after a crash that left it written and not durable"):
        done.clear()
        TRUE.ask(signer, 5)
        assert done == ["write", "fsync", "replace", "fsync", "sign"]


def failing(name: str, at: int, number: int) -> Callable[..., object]:
    """The system's call of this name, that fails the time `at`."""
    real, left = getattr(os, name), iter(range(at))

    def step(*arguments: object, **named: object) -> object:
        if next(left, -1) != at - 1:
            return real(*arguments, **named)
        if name == "close":
            real(*arguments, **named)
        raise OSError(number, "the disk failed")

    return step


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [28, 5])
def test_a_disk_that_fails_at_any_step_gets_no_signature_and_no_fork(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    signer, failed = signer_of(keys), 0
    for size in range(1, 6):
        before = signer.last_signed(ORIGIN)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, failing(step, size, number))
            try:
                signer.sign_checkpoint(ORIGIN, size, TRUE.root(size), TRUE.proof(size - 1, size))
            except SignerUnavailableError:
                failed += 1
        assert signer.last_signed(ORIGIN) in (before, TRUE.checkpoint(size))
        TRUE.ask(signer, size)
        with pytest.raises(TamperedError):
            FALSE.ask(signer, size, since=size)
    assert failed


def test_killed_before_any_step_it_has_signed_one_log_or_the_other_and_never_both(tmp_path: Path) -> None:
    released = []
    for at in range(1, 40):
        place = tmp_path / f"key{at}"
        create_key_directory(place)
        with KeyDirectory(place) as keys:
            TRUE.ask(signer_of(keys), 3)
        proof = [one.hex() for one in TRUE.proof(3, 5)]
        ended = subprocess.run(
            [sys.executable, str(CHILD), str(at), str(place), ORIGIN, "5", TRUE.root(5).hex(), *proof],
            capture_output=True,
            check=False,
        )
        assert ended.stderr == b""
        with KeyDirectory(place) as keys:
            signer = signer_of(keys)
            last = signer.last_signed(ORIGIN)
            assert last in (TRUE.checkpoint(3), TRUE.checkpoint(5))
            released.append((bool(ended.stdout), last.size))
            if ended.stdout:
                assert last == TRUE.checkpoint(5)
                assert TRUE.ask(signer, 5) == ended.stdout
            if last.size == 5:
                # Killed between memory and release: only this can be signed at its size, and it still can.
                with pytest.raises(TamperedError):
                    FORK.ask(signer, 5)
                with pytest.raises(TamperedError):
                    FORK.ask(signer, 9)
            TRUE.ask(signer, 5)
            TRUE.ask(signer, 9)
        if ended.returncode == 0:
            break
    assert released[0] == (False, 3)
    assert (False, 5) in released
    assert released[-1] == (True, 5)
    assert released == sorted(released)
