"""What the broker does where a target was started anew, and may bring back what was taken away (F15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.credential import CredentialState
from taskbound.core.target import RedisAccess
from taskbound.surfaces.broker.sweep import GLANCE_EVERY, SWEEP_EVERY
from taskbound.wiring import broker as wiring
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, running
from tests.sqlite import sqlite_store
from tests.surfaces.broker.brokering import Brokering

if TYPE_CHECKING:
    from collections.abc import Iterator


def declared(*nodes: Node) -> dict[str, Any]:
    return {
        "target": "orders-db",
        "kind": "redis",
        "where": {"nodes": [one.address for one in nodes]},
        "owner": "bob",
        "approvers": ["carol"],
        "credentials": {
            "reader": {
                "for": "Reads orders.",
                "commands": ["get"],
                "reads": ["orders:{tenant}:*"],
                "parameters": ["tenant"],
                "seconds": 900,
                "renewable": True,
            }
        },
    }


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    with running(2, "redis") as some:
        yield some


def brokered(nodes: list[Node]) -> Brokering:
    broker = Brokering(sqlite_store(), plugs={"redis": wiring._redis})  # noqa: SLF001 -- as it is plugged
    broker.declare(declared(*nodes), RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD))
    broker.settle()
    assert broker.world.row().state.value == "ready", broker.world.row().trouble
    assert [one.users() for one in nodes] == [set(), set()]
    return broker


def test_f15_what_a_node_brings_back_from_an_older_file_is_ended_within_seconds_and_not_a_minute(
    nodes: list[Node],
) -> None:
    broker = brokered(nodes)
    row = broker.ask()
    broker.settle(2)
    older = nodes[1].saved
    (name,) = nodes[1].users()
    assert name in older
    broker.end(row)
    broker.settle(2)
    assert broker.row(row.id).state is CredentialState.REVOKED
    broker.later(GLANCE_EVERY)
    broker.settle(2)
    nodes[1].kill()
    nodes[1].start_again(users=older)
    assert nodes[1].users() == {name}
    broker.later(GLANCE_EVERY)
    assert 4 * GLANCE_EVERY < SWEEP_EVERY
    broker.settle(4)
    assert broker.row(row.id).state is CredentialState.REVOKED
    assert [one.users() for one in nodes] == [set(), set()]
    assert name not in nodes[1].saved


def test_f15_a_node_that_is_away_is_looked_through_once_it_is_back(nodes: list[Node]) -> None:
    broker = brokered(nodes)
    row = broker.ask()
    broker.settle(2)
    older = nodes[0].saved
    broker.end(row)
    broker.settle(2)
    nodes[0].kill()
    for _ in range(3):
        broker.later(GLANCE_EVERY)
        broker.settle(1)
    nodes[0].start_again(users=older)
    assert len(nodes[0].users()) == 1
    broker.later(GLANCE_EVERY)
    broker.settle(4)
    assert [one.users() for one in nodes] == [set(), set()]


def test_a_target_that_was_not_started_anew_is_looked_through_each_minute_and_no_more_often(
    nodes: list[Node],
) -> None:
    broker = brokered(nodes)
    nodes[0].ask("ACL", "SETUSER", "tb_zzzzzzzz_" + 35 * "z")
    before = nodes[0].info("commandstats")["cmdstat_acl|users"]
    for _ in range(5):
        broker.later(GLANCE_EVERY)
        broker.settle(1)
    assert nodes[0].info("commandstats")["cmdstat_acl|users"] == before
    broker.later(SWEEP_EVERY)
    broker.settle(1)
    assert nodes[0].info("commandstats")["cmdstat_acl|users"] != before
