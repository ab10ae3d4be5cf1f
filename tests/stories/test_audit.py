from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.core.audit import TamperedError, parse_verifier_key, verify_log, verify_proof
from taskbound.core.audit.note import parse_proof
from taskbound.flows.audit.sequencing import (
    _BATCH,
    CheckpointSigner,
    LogBehindError,
    NotCoveredError,
    Sequencer,
)
from taskbound.ports.signer import SignerUnavailableError
from tests.core.audit.logs import verify_chain
from tests.sqlite import sqlite_store
from tests.world import World, id_of

if TYPE_CHECKING:
    from taskbound.ports.signer import Signer
    from taskbound.ports.store import Store

ORIGIN = "taskbound.test/log"


def signer_of(heads: MemorySignedHeads | None = None) -> CheckpointSigner:
    return CheckpointSigner(
        origins=[ORIGIN],
        key=Ed25519Key.from_seed(bytes(range(32))),
        heads=heads or MemorySignedHeads(),
        verify=verify_ed25519,
    )


def log_of(world: World) -> list[bytes]:
    with world.store.read() as snapshot:
        return list(snapshot.audit.records(0, 1_000_000))


def test_every_record_gets_a_place_and_a_checkpoint_covers_them(world: World) -> None:
    task = world.settle_in()
    world.ask(task)
    written = [one["seq"] for one in world.records()]
    signer = signer_of()
    sequencer = Sequencer(world.adapters, signer, ORIGIN)
    assert sequencer.extend() == len(written)
    assert world.records() == []
    checkpoint = sequencer.sign()
    assert checkpoint is not None
    assert sequencer.sign() is None
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    verified = verify_log(log_of(world), notes=[checkpoint.note.encode()], key=key, verify=verify_ed25519)
    assert verified.uncovered == 0


def test_i48_a_proof_shows_the_record_of_an_action_and_of_no_other(world: World) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task))
    signer = signer_of()
    sequencer = Sequencer(world.adapters, signer, ORIGIN)
    sequencer.extend()
    with world.store.read() as snapshot:
        place = snapshot.audit.place("default", action)
    assert place is not None
    with pytest.raises(NotCoveredError):
        sequencer.prove(place)
    sequencer.sign()
    proof, record = sequencer.prove(place)
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    included = verify_proof(record, parse_proof(proof), key, verify_ed25519)
    assert included.index == place
    assert action.encode() in record
    with pytest.raises(TamperedError):
        verify_proof(log_of(world)[place - 1], parse_proof(proof), key, verify_ed25519)


def test_a_tree_that_grew_over_restarts_is_the_one_of_all_its_records(store: Store) -> None:
    world = World(store=store)
    task = world.settle_in()
    signer = signer_of()
    for round_number in range(5):
        for number in range(round_number * 60):
            world.ask(task, "bank__look", {"path": f"/srv/{round_number}/{number}"})
        Sequencer(world.adapters, signer, ORIGIN).extend()
    checkpoint = Sequencer(world.adapters, signer, ORIGIN).sign()
    assert checkpoint is not None
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    log = log_of(world)
    assert len(log) > 512
    verified = verify_log(log, notes=[checkpoint.note.encode()], key=key, verify=verify_ed25519)
    assert verified.uncovered == 0
    verify_chain(log)


def test_two_writers_chains_are_tied_together_by_the_heads_that_they_name(store: Store) -> None:
    first = World(store=store)
    task = first.settle_in()
    second = first.beside()
    second.ask(task)
    first.ask(task)
    Sequencer(first.adapters, signer_of(), ORIGIN).extend()
    chains = verify_chain(log_of(first))
    with store.read() as snapshot:
        assert {one.writer for one in snapshot.audit.heads()} == {head.writer for head in chains.heads}


def test_a_signer_that_was_away_signs_what_grew_meanwhile(world: World) -> None:
    world.settle_in()
    heads = MemorySignedHeads()

    class Away:
        away = True

        def __getattr__(self, name: str) -> object:
            if self.away:
                raise SignerUnavailableError("gone")
            return getattr(signer_of(heads), name)

    away: Signer = Away()  # type: ignore[assignment]  # answers for every name
    sequencer = Sequencer(world.adapters, away, ORIGIN)
    sequencer.extend()
    with pytest.raises(SignerUnavailableError):
        sequencer.sign()
    Away.away = False
    assert sequencer.sign() is not None


def test_i15_a_store_that_is_behind_its_signer_is_refused(store: Store) -> None:
    heads = MemorySignedHeads()
    world = World(store=store)
    world.settle_in()
    sequencer = Sequencer(world.adapters, signer_of(heads), ORIGIN)
    sequencer.extend()
    checkpoint = sequencer.sign()
    assert checkpoint is not None
    older = World(store=sqlite_store())
    again = Sequencer(older.adapters, signer_of(heads), ORIGIN)
    again.extend()
    with pytest.raises(LogBehindError):
        again.sign()


def test_a_sequencer_beside_another_grows_the_one_tree(world: World) -> None:
    task = world.settle_in()
    signer = signer_of()
    first, second = (Sequencer(world.adapters, signer, ORIGIN) for _ in range(2))
    for number in range(6):
        world.ask(task, "bank__look", {"path": f"/srv/{number}"})
        (first, second)[number % 2].extend()
    checkpoint = second.sign()
    assert checkpoint is not None
    key = parse_verifier_key(signer.verifier_key(ORIGIN))
    notes = [checkpoint.note.encode()]
    assert verify_log(log_of(world), notes=notes, key=key, verify=verify_ed25519).uncovered == 0


def test_what_was_signed_is_recorded_with_the_next_records_and_an_idle_log_stays_as_it_is(
    world: World,
) -> None:
    task = world.settle_in()
    sequencer = Sequencer(world.adapters, signer_of(), ORIGIN)
    sequencer.extend()
    first = sequencer.sign()
    assert first is not None
    for _ in range(3):
        assert sequencer.extend() == 0
        assert sequencer.sign() is None
    world.ask(task)
    sequencer.extend()
    second = sequencer.sign()
    assert second is not None
    assert sequencer.extend() == 1
    (event,) = [
        one["event"] for one in map(json.loads, log_of(world)) if one["event"]["kind"] == "checkpoint-signed"
    ]
    assert (event["size"], event["root"]) == (first.size, first.root.hex())
    sequencer.sign()
    for _ in range(3):
        assert sequencer.extend() == 0
        assert sequencer.sign() is None


def test_many_records_get_their_places_by_transactions_that_decisions_can_be_between(world: World) -> None:
    task = world.settle_in()
    while len(world.records()) <= 2 * _BATCH:
        world.ask(task)
    written = len(world.records())
    sequencer = Sequencer(world.adapters, signer_of(), ORIGIN)
    rests, left = list[float](), list[int]()

    class Rest(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            left.append(len(world.records()))
            return False

    sequencer._resting = Rest()  # noqa: SLF001 - a rest that is seen
    assert sequencer.extend() == written
    assert left == [written - _BATCH, written - 2 * _BATCH]
    assert min(rests) > 0
