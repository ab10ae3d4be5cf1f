"""From the call that asks to what the broker finds: what a permit writes down is what may be minted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.credential import begin_mint, credential_of, end_in_target
from taskbound.core.errors import TaskboundError
from taskbound.flows.credential.naming import open_mark
from taskbound.flows.target import Targets
from tests.peers.holding import Holding
from tests.peers.targeting import ALICE, held_by_finance
from tests.stories.minting import ASKED, Letters, Minting, Proofs
from tests.stories.targeting import declared
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

READER = "orders-db__credential/reader"
SCOPE: dict[str, Any] = {"grants": [{"tool": READER, "others": "any"}]}


class Way(Minting):
    """A target that is ready, an agent that may have its credentials, and people of finance who are asked."""

    def __init__(self, store: Store, *, policy: str) -> None:
        self.people = people = Holding(store, policy)
        old = people.world
        people.world = World(store=store, policy=policy, clock=old.clock, chance=Letters())
        self.world, self.adapters = people.world, people.world.adapters
        self.targets = Targets(self.adapters, self.world.views)
        self.quiet = False
        self.proofs = Proofs(signatures=PersonSignatures(), tokens=JoserfcCheck())
        open_mark(self.adapters)
        self.ready(declared(approvers=["carl"]))
        self.world.add_agent("minter", ceiling=SCOPE)
        self.task = people.task = self.world.start(scope=SCOPE, agent="minter")

    def ask(self) -> Any:
        return self.world.ask(self.task, READER, ASKED, agent="minter", recipient=ALICE)


def test_what_a_permit_writes_down_is_minted_for_who_asked_and_as_it_was_asked_for(store: Store) -> None:
    there = Way(store, policy=base_bundle())
    answer = there.ask()
    assert code_of(answer) == "permit"
    row = there.move(credential_of(id_of(answer)), begin_mint)
    found = there.mintable(row)
    assert (found.row, found.kind, found.order.context) == (row, there.kind(), {"tenant": "red"})
    assert (found.order.ends, found.row.recipient) == (end_in_target(row.ends), ALICE)


def test_what_people_lifted_is_minted_by_their_signatures_and_by_nothing_else(store: Store) -> None:
    there = Way(store, policy=held_by_finance(base_bundle()))
    held = there.ask()
    assert code_of(held) == "hold"
    there.people.say(id_of(held), "bob")
    permit = there.ask()
    assert (code_of(permit), id_of(permit)) == ("permit", id_of(held))
    row = there.move(credential_of(id_of(held)), begin_mint)
    assert there.mintable(row).row == row
    there.people.leave("bob")
    with pytest.raises(TaskboundError) as found:
        there.mintable(row)
    assert found.value.code == "not-mintable"
