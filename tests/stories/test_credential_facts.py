"""What policies read of for how long a credential lives, new or renewed (I-09)."""

from __future__ import annotations

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.flows.action import explain
from tests.peers.targeting import MAY_MINT
from tests.sqlite import sqlite_store
from tests.stories.minting import Letters
from tests.stories.test_credential_renewals import Renewing
from tests.world import World, code_of, id_of

AT_MOST = """
@id("long") forbid (principal, action, resource) when { context.credential_life > 900 };
@id("longer") @hold("confirm") forbid (principal, action, resource) when { context.credential_life > 700 };
"""


def renewing(policy: str = AT_MOST) -> Renewing:
    world = World(store=sqlite_store(), policy=base_bundle() + policy, chance=Letters())
    world.settle_in()
    return Renewing(world)


def test_i09_what_a_policy_bounds_is_the_whole_life_and_not_what_is_asked_for_next() -> None:
    there = renewing()
    row = there.have()
    for passed, code in ((99, "permit"), (2, "hold"), (198, "hold"), (2, "forbidden")):
        there.world.clock.advance(passed)
        answer = there.renew(row)
        assert code_of(answer) == code, passed
        if code == "hold":
            continue
        assert explain(there.world.adapters, "default", id_of(answer)).replay == "same"
        if code == "permit":
            there.settle(there.told(row))


@pytest.mark.parametrize("seconds", [1, 599])
def test_a_new_credential_lives_as_long_as_it_is_asked_for(seconds: int) -> None:
    there = renewing(
        f'@id("it") forbid (principal, action, resource) when {{ context.credential_life == {seconds} }};'
    )
    assert code_of(there.ask(arguments={"customer": "42", "seconds": seconds})) == "forbidden"
    assert code_of(there.ask(arguments={"customer": "42", "seconds": seconds + 1})) == "permit"


def test_the_end_of_the_task_is_the_end_of_its_credentials_for_policies_too() -> None:
    there = renewing('@id("it") forbid (principal, action, resource) when { context.credential_life > 60 };')
    task = there.world.start(scope=MAY_MINT, agent="minter", seconds=60)
    assert code_of(there.ask(task=task)) == "permit"


def test_what_asks_for_no_credential_has_no_life() -> None:
    there = renewing('@id("it") forbid (principal, action, resource) when { context.credential_life != 0 };')
    assert code_of(there.world.ask(there.task, "bank__look", {"path": "x"}, agent="minter")) == "permit"


def test_nobody_is_told_by_a_policy_how_old_anothers_credential_is() -> None:
    there = renewing('@id("it") forbid (principal, action, resource) when { context.credential_life > 700 };')
    row = there.have()
    there.world.clock.advance(150)
    other = there.world.start(scope=MAY_MINT, agent="minter")
    for named in (row.id, "crd_" + "a" * 35):
        assert code_of(there.renew(named, task=other)) == "not-renewable"
