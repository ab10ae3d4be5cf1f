"""The test of a target: canaries of each kind, and the tools that come of them."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

import pytest

from taskbound.core.action import parse_object
from taskbound.core.clock import seconds
from taskbound.core.credential import (
    CredentialState,
    end_credential,
    is_canary,
    reappear,
)
from taskbound.core.credential.values import MINTED_WITHIN, Step
from taskbound.core.target import TargetState, kind_definition, parse_target_file
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.credential import open_mark
from taskbound.flows.target.testing import CANARY
from tests.peers.people import OWNER
from tests.sqlite import sqlite_store
from tests.stories.brokering import Broker
from tests.stories.targeting import BOB, FILE, TOOLS, Aiming, aimed, give, sealed_for

S, T = CredentialState, TargetState

_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEGOjXSCpqUT7QkrG8VTbZR1LEj4AG+xPspDnLIaXKDy"
UNHELPED: Final[dict[str, Any]] = {
    **FILE,
    "target": "build-host",
    "kind": "openssh",
    "where": {"host": "127.0.0.1", "host_keys": [_KEY], "helper": "none"},
    "credentials": {
        "clerk": {"for": "Books orders.", "account": "clerk", "seconds": 30},
        "reader": {"for": "Reads orders.", "account": "reader", "seconds": 30},
    },
}
"""A host that has no helper."""


@pytest.fixture
def aiming() -> Aiming:
    return aimed(sqlite_store())


def test_a_target_begins_untested_with_a_canary_of_each_kind_and_without_a_tool(aiming: Aiming) -> None:
    test = aiming.add()
    kept, rows = aiming.row(), aiming.canaries(test)
    assert (kept.state, kept.number, kept.tested, kept.version) == (T.UNTESTED, 1, None, 1)
    assert [one.kind for one in rows] == ["clerk", "reader"]
    for row in rows:
        assert (row.state, row.due, row.made) == (S.JOURNALED, kept.begun, kept.begun)
        assert row.ends == row.made + seconds(60)
        assert (row.task, row.agent, row.action, row.recipient) == ("", "", "", "")
        assert is_canary(row)
    assert parse_object(rows[0].arguments) == {"seconds": 30}
    assert parse_object(rows[1].arguments) == {"seconds": 60, "tenant": CANARY}
    assert aiming.tools() == {}


def test_the_record_of_a_canarys_beginning_is_the_one_that_its_row_names(aiming: Aiming) -> None:
    test = aiming.add()
    with aiming.adapters.store.read() as seen:
        for row in aiming.canaries(test):
            kept = seen.audit.numbered(row.record)
            assert kept is not None
            event = json.loads(kept.body)["event"]
            assert (event["kind"], event["credential"], event["of"]) == (
                "credential-journaled",
                row.id,
                row.kind,
            )
            assert event["ends"] == row.ends


def test_what_is_recorded_of_a_target_names_people_and_digests_and_no_access(aiming: Aiming) -> None:
    sealed = sealed_for(FILE)
    test = aiming.add(sealed=sealed)
    (added,) = aiming.world.events("target-added")
    assert (added["owner"], added["approvers"], added["credentials"]) == (
        "bob",
        ["carol"],
        ["clerk", "reader"],
    )
    assert (added["of"], added["by"]) == ("postgres", OWNER.name)
    assert added["sealed"] == sha256(sealed.encode()).hexdigest()
    (begun,) = aiming.world.events("target-test-begun")
    assert tuple(begun["canaries"]) == test.credentials
    assert all(sealed not in json.dumps(one) for one in aiming.world.records())


def test_it_is_ready_with_its_last_canary_that_was_used_and_is_gone_and_has_its_tools_then(
    aiming: Aiming,
) -> None:
    clerk, reader = aiming.add().credentials
    for one in (clerk, reader):
        aiming.mint(one)
        aiming.end(one)
    aiming.revoke(clerk)
    assert (aiming.row().state, aiming.tools()) == (T.UNTESTED, {})
    aiming.revoke(reader)
    kept, tools = aiming.row(), aiming.tools()
    assert (kept.state, kept.trouble, kept.tested is not None) == (T.READY, "", True)
    assert tuple(tools) == TOOLS
    kinds = parse_target_file(FILE).credentials
    for kind, tool in zip(kinds, tools.values(), strict=True):
        assert (tool.owner, tool.identity, tool.server) == ("bob", kept.identity, "orders-db")
        assert tool.definition == kind_definition(kind).canonical
        assert tool.version > 1_000_000
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol",))
    assert [one["tool"] for one in aiming.world.events("tool-pinned")] == list(TOOLS)
    assert [one["after"] for one in aiming.world.events("target-tested")] == ["ready"]


def test_what_stands_of_a_target_is_what_the_log_says_of_it(aiming: Aiming) -> None:
    open_mark(aiming.adapters)
    broker = Broker(world=aiming.world)
    for one in aiming.canaries(aiming.add()):
        broker.mint(one)
        broker.revoke(one)
    first, _ = aiming.canaries(aiming.targets.test("default", "orders-db", BOB))
    broker.take(first, Step.MINT).failed("target-refused", "no group `clerks`")
    assert aiming.row().trouble
    with aiming.adapters.store.read() as seen:
        assert compare_rows(seen, lambda _done, _total: None).differences == ()


def test_one_kind_that_can_t_be_minted_refuses_the_target_and_says_which_and_why(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    aiming.fail(clerk)
    kept = aiming.row()
    assert kept.state is T.REFUSED
    assert kept.trouble == "the kind `clerk`: it could not be minted: no group `clerks`"
    assert aiming.tools() == {}
    aiming.revoke(clerk)
    assert len(aiming.world.events("target-tested")) == 1


def test_what_is_gone_afterwards_makes_no_refused_target_ready(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.fail(clerk)
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    aiming.revoke(clerk)
    assert (aiming.row().state, aiming.tools()) == (T.REFUSED, {})


def test_a_canary_that_no_broker_took_says_so(aiming: Aiming) -> None:
    clerk, _ = aiming.add().credentials
    aiming.world.clock.advance(MINTED_WITHIN / 1_000_000)
    aiming.end(clerk, "no broker minted it in time")
    assert aiming.row().trouble == "the kind `clerk`: no broker took it in hand (no broker minted it in time)"
    assert aiming.row().state is T.REFUSED


def test_a_target_that_can_t_end_what_is_open_is_refused(aiming: Aiming) -> None:
    clerk, _ = aiming.add().credentials
    aiming.mint(clerk)
    aiming.end(clerk)
    aiming.leave_open(clerk)
    assert (aiming.row().state, "can't be ended" in aiming.row().trouble) == (T.REFUSED, True)


def test_a_target_whose_file_says_that_nothing_there_can_be_ended_is_ready_with_what_ends_by_itself(
    aiming: Aiming,
) -> None:
    clerk, reader = aiming.add(UNHELPED).credentials
    for one in (clerk, reader):
        aiming.mint(one)
        aiming.end(one)
        assert aiming.row("build-host").state is T.UNTESTED
        aiming.leave_open(one)
    assert (aiming.row("build-host").state, aiming.row("build-host").trouble) == (T.READY, "")


def test_what_was_never_used_there_refuses_it_like_any_other(aiming: Aiming) -> None:
    clerk, _ = aiming.add(UNHELPED).credentials
    aiming.end(clerk)
    aiming.leave_open(clerk)
    assert aiming.row("build-host").state is T.REFUSED


def test_a_host_with_a_helper_that_ends_nothing_is_refused(aiming: Aiming) -> None:
    clerk, _ = aiming.add({**UNHELPED, "where": {**UNHELPED["where"], "helper": "root"}}).credentials
    aiming.mint(clerk)
    aiming.end(clerk)
    aiming.leave_open(clerk)
    assert (aiming.row("build-host").state, "can't be ended" in aiming.row("build-host").trouble) == (
        T.REFUSED,
        True,
    )


def test_a_refused_target_is_ready_after_a_later_test_that_works(aiming: Aiming) -> None:
    aiming.fail(aiming.add().credentials[0])
    test = aiming.targets.test("default", "orders-db", BOB)
    aiming.work(test)
    assert (aiming.row().state, aiming.row().trouble, tuple(aiming.tools())) == (T.READY, "", TOOLS)
    begun = aiming.world.events("target-test-begun")
    assert [one["by"] for one in begun] == [OWNER.name, "bob"]


def test_a_ready_target_keeps_its_tools_when_a_later_test_fails_and_shows_why(aiming: Aiming) -> None:
    aiming.ready()
    before = aiming.tools()
    test = aiming.targets.test("default", "orders-db", BOB)
    aiming.fail(test.credentials[1], "it could not be minted: the server is gone")
    kept = aiming.row()
    assert (kept.state, aiming.tools()) == (T.READY, before)
    assert kept.trouble.endswith("the server is gone")
    aiming.work(aiming.targets.test("default", "orders-db", BOB))
    assert (aiming.row().trouble, aiming.tools()) == ("", before)
    tested = [(one["before"], one["after"]) for one in aiming.world.events("target-tested")]
    assert tested == [("untested", "ready"), ("ready", "ready"), ("ready", "ready")]


def test_the_canaries_of_an_earlier_test_count_for_nothing(aiming: Aiming) -> None:
    first = aiming.add()
    second = aiming.targets.test("default", "orders-db", BOB)
    aiming.work(first)
    assert aiming.row().state is T.UNTESTED
    for one in second.credentials:
        aiming.mint(one)
        aiming.end(one)
    aiming.revoke(second.credentials[0])
    assert aiming.row().state is T.UNTESTED
    aiming.revoke(second.credentials[1])
    assert aiming.row().state is T.READY


def test_a_canary_of_an_earlier_test_that_fails_refuses_nothing(aiming: Aiming) -> None:
    first = aiming.add()
    aiming.targets.test("default", "orders-db", BOB)
    aiming.fail(first.credentials[0])
    assert aiming.world.events("target-tested") == []


@pytest.mark.parametrize("other", [{"action": "act_9"}, {"action": "", "identity": "9" * 64}])
def test_what_is_no_canary_of_this_very_target_refuses_nothing(aiming: Aiming, other: dict[str, Any]) -> None:
    aiming.add()
    begun = aiming.row().begun
    assert begun is not None
    row = give(aiming, "b", S.JOURNALED, made=begun, **other)
    aiming.end(row.id)
    assert aiming.world.events("target-tested") == []


def test_a_canary_that_was_never_used_and_is_gone_makes_no_target_ready(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.quiet = True
    aiming.end(clerk, "somebody revoked it")
    aiming.revoke(clerk)
    aiming.quiet = False
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    assert (aiming.row().state, aiming.tools()) == (T.UNTESTED, {})


def test_two_tests_never_begin_at_one_instant(aiming: Aiming) -> None:
    aiming.ready()
    over = aiming.row().tested
    assert over is not None
    aiming.world.clock.at = over - 10
    aiming.targets.test("default", "orders-db", BOB)
    begun = aiming.row().begun
    assert begun is not None
    assert begun > over


def test_what_tasks_had_there_meanwhile_concludes_no_test(aiming: Aiming) -> None:
    aiming.add()
    row = give(aiming, "b", S.JOURNALED)
    aiming.move(row.id, lambda one, now: end_credential(one, "its task has ended", now))
    assert aiming.row().state is T.UNTESTED
    assert aiming.world.events("target-tested") == []


def test_a_canary_that_its_target_shows_again_opens_no_test(aiming: Aiming) -> None:
    test = aiming.ready()
    aiming.move(test.credentials[0], reappear)
    assert (aiming.row().state, aiming.row().trouble) == (T.READY, "")
