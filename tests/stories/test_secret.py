from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.adapters.keys.sealing import SealingKey, seal
from taskbound.core.tool import BadSecretError, BadSlotError, Binding, parse_slot
from taskbound.flows.tool import UnknownServerError
from taskbound.flows.tool.secret import Secrets
from taskbound.wire.tool import ServerSpec, identity_of
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.ports.tool import StoredSecret
    from tests.world import World

KEY = SealingKey.generate()
SLOT = "environment:TOKEN"
SPEC = ServerSpec(name="vault", command="/bin/vault", sha256="1" * 64, slots=(SLOT,))
IDENTITY = identity_of(SPEC, namespace="default")
BOUND = Binding(namespace="default", server="vault", identity=IDENTITY.digest, slot=SLOT, number=1)


def sealed(binding: Binding = BOUND) -> str:
    return seal("hunter2-hunter2", binding, public=KEY.public)


def put(world: World, text: str, *, number: int = 1, server: str = "vault", slot: str = SLOT) -> None:
    Secrets(world.adapters).put("default", server, slot, number=number, sealed=text, actor=ANN)


def kept(world: World) -> tuple[StoredSecret, ...]:
    with world.store.read() as snapshot:
        return snapshot.tools.secrets("default", "vault")


@pytest.fixture
def pinned(world: World) -> World:
    world.settle_in()
    world.pins.add("vault", IDENTITY, msgspec.json.encode(SPEC), [], agents=(), actor=ANN)
    return world


def test_a_slot_is_filled_replaced_and_emptied_and_each_is_a_record_of_what_was_sealed(pinned: World) -> None:
    first, second = sealed(), sealed(replace(BOUND, number=2))
    put(pinned, first)
    put(pinned, second, number=2)
    assert [(one.number, one.sealed) for one in kept(pinned)] == [(2, second)]
    put(pinned, "", number=3)
    assert [(one.number, one.sealed) for one in kept(pinned)] == [(3, "")]
    events = pinned.events("upstream-secret-set")
    assert [(one["number"], one["slot"], one["sealed"]) for one in events] == [
        (1, SLOT, sha256(first.encode()).hexdigest()),
        (2, SLOT, sha256(second.encode()).hexdigest()),
        (3, SLOT, ""),
    ]
    assert {(one["upstream"], one["server"], one["by"]) for one in events} == {
        ("vault", IDENTITY.digest, ANN.name)
    }


@pytest.mark.parametrize(
    "change",
    [
        {"server": "bank"},
        {"identity": "0" * 64},
        {"slot": "environment:OTHER"},
        {"number": 2},
        {"namespace": "b"},
    ],
)
def test_a_value_that_was_sealed_for_something_else_is_not_kept(
    pinned: World, change: dict[str, Any]
) -> None:
    with pytest.raises(BadSecretError):
        put(pinned, sealed(replace(BOUND, **change)))
    assert kept(pinned) == ()
    assert not pinned.events("upstream-secret-set")


def test_a_number_that_is_not_the_next_is_refused(pinned: World) -> None:
    put(pinned, sealed())
    for number in (1, 3):
        with pytest.raises(BadSecretError, match="number 2"):
            put(pinned, sealed(replace(BOUND, number=number)), number=number)


def test_only_slots_that_the_server_was_pinned_with_are_filled_and_only_full_ones_emptied(
    pinned: World,
) -> None:
    with pytest.raises(BadSlotError, match="not pinned with"):
        put(pinned, sealed(), slot="environment:OTHER")
    with pytest.raises(BadSlotError, match="empty"):
        put(pinned, "")
    with pytest.raises(UnknownServerError):
        put(pinned, sealed(), server="nobody")
    put(pinned, sealed())
    put(pinned, "", number=2)
    with pytest.raises(BadSlotError, match="empty"):
        put(pinned, "", number=3)


def test_a_server_that_is_taken_away_takes_its_secrets_along(pinned: World) -> None:
    put(pinned, sealed())
    pinned.pins.remove("default", "vault", ANN)
    assert kept(pinned) == ()
    assert parse_slot(SLOT) in IDENTITY.slots
