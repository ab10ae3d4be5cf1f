from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.action import MOST_EVALUATIONS
from tests.surfaces.network.evaluating import ALICE, MANY, Evaluating, evaluated, pay
from tests.world import SCOPE

if TYPE_CHECKING:
    from pathlib import Path

GRANTS = SCOPE["grants"]
FEW: list[dict[str, Any]] = [{**GRANTS[0], "uses": 2}]


def to(name: str, **more: Any) -> dict[str, Any]:
    """An item of its own resource: a payment to this name."""
    return {"resource": pay(to=name, **more)["resource"]}


def many(*items: Any, semantic: str = "", **defaults: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "subject": ALICE,
        "action": {"name": "tools/call"},
        **defaults,
        "evaluations": [*items],
    }
    return {**told, "options": {"evaluations_semantic": semantic}} if semantic else told


def decided(service: Evaluating) -> list[str]:
    return [one["decision"] for one in service.records("action-decided")]


def test_each_item_is_an_action_of_its_own_and_answered_in_order(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=GRANTS) as service:
        said = many(to("bob"), to("mallory"), to("eve"), {}, to("bob", amount=99), resource=pay()["resource"])
        answer = service.evaluate(said, MANY)
        assert set(answer.json) == {"evaluations"}
        told = answer.json["evaluations"]
        assert [one["decision"] for one in told] == [True, False, True, True, False]
        assert told[0] == {"decision": True}
        assert set(told[1]["context"]["reason_admin"]) == {"outside-scope"}
        assert decided(service) == ["permit", "refuse", "permit", "permit", "refuse"]
        actions = [one["action"] for one in service.records("action-decided")]
        assert len(set(actions)) == 5
        assert {service.kept(one).connection for one in actions} == {service.kept(actions[0]).connection}
        assert told[1]["context"]["evaluation_id"] == actions[1]


def test_one_limit_pays_for_the_items_one_after_the_other_and_for_no_more(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=FEW) as service:
        assert service.decision(many(to("bob"), to("bob"), to("bob"), to("eve")), MANY) == [
            True,
            True,
            False,
            False,
        ]
        assert service.one.world.left(service.task)["g0/uses"] == 0


@pytest.mark.parametrize(
    ("semantic", "told", "left"),
    [
        ("execute_all", [False, True, False, True], 0),
        ("deny_on_first_deny", [False], 2),
        ("permit_on_first_permit", [False, True], 1),
    ],
)
def test_what_comes_behind_the_last_answer_is_not_decided_and_takes_nothing(
    tmp_path: Path, semantic: str, told: list[bool], left: int
) -> None:
    with evaluated(tmp_path, grants=FEW) as service:
        said = many(to("mallory"), to("bob"), to("zed"), to("eve"), semantic=semantic)
        assert service.decision(said, MANY) == told
        assert len(decided(service)) == len(told)
        assert service.one.world.left(service.task)["g0/uses"] == left


def test_an_item_that_can_not_be_read_is_a_denial_and_ends_what_ends_at_one(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=GRANTS) as service:
        said = many(to("bob"), {"resource": {"type": "tool"}}, to("bob"), semantic="deny_on_first_deny")
        assert service.decision(said, MANY) == [True, False]
        said = many({}, 7, {"subject": None}, {"context": []}, to("bob"), {"action": {"name": 1}})
        answer = service.evaluate(said, MANY)
        assert [one["decision"] for one in answer.json["evaluations"]] == [False] * 4 + [True, False]
        for one in (answer.json["evaluations"][number] for number in (0, 1, 2, 3, 5)):
            assert one["context"]["error"]["status"] == 400
            assert one["context"]["error"]["message"].startswith("bad-evaluation: ")
        assert len(service.records("action-refused-malformed")) == 6


def test_a_member_of_an_item_takes_the_place_of_the_default_whole(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=GRANTS) as service:
        resource = pay()["resource"]
        bare = {"resource": {"type": "tool", "id": "bank__pay"}}  # its arguments are not the default's
        other = {"resource": {**resource, "properties": {"to": "bob"}}}
        said = many({}, bare, other, {"subject": {"type": "user", "id": "bob"}}, resource=resource)
        assert service.decision(said, MANY) == [True, False, False, True]
        assert [one["subject"] for one in service.records("action-decided")] == [
            *['{"id":"alice","type":"user"}'] * 3,
            '{"id":"bob","type":"user"}',
        ]
        half = {"subject": {"type": "user"}}  # its id is the default's, and nothing else would be
        assert service.decision(many(half, {}, resource=resource), MANY) == [True, True]


@pytest.mark.parametrize("more", [{}, {"evaluations": []}, {"evaluations": [], "options": {"x": 1}}])
def test_without_items_it_is_a_single_evaluation(tmp_path: Path, more: dict[str, Any]) -> None:
    with evaluated(tmp_path, grants=GRANTS) as service:
        assert service.evaluate({**pay(), **more}, MANY).body == b'{"decision":true}'
        assert service.evaluate({**pay(amount=99), **more}, MANY).json["decision"] is False
        assert service.evaluate({"subject": ALICE, **more}, MANY).status == 400


WHOLE: list[tuple[Any, str]] = [
    (many({}, semantic="first"), "bad-evaluation"),
    (many({}) | {"options": []}, "bad-evaluation"),
    (many({}) | {"options": {"evaluations_semantic": 1}}, "bad-evaluation"),
    (many({}) | {"options": {"evaluations_semantic": None}}, "bad-evaluation"),
    (many({}) | {"evaluations": {}}, "bad-evaluation"),
    (many({}) | {"evaluations": None}, "bad-evaluation"),
    (many({}, subject="alice"), "bad-evaluation"),
    (many(to("bob"), context=7), "bad-evaluation"),
    (many(*[to("bob")] * (MOST_EVALUATIONS + 1)), "too-many-evaluations"),
    (many(*[{}] * 10_000, resource=pay()["resource"]), "too-many-evaluations"),
    (many(*[{}] * 64, resource=pay(note="x" * 20_000)["resource"]), "too-many-evaluations"),
    ([many(to("bob"))], "not-an-object"),
]


def test_a_request_that_can_not_be_read_as_a_whole_decides_nothing_and_leaves_one_record(
    tmp_path: Path,
) -> None:
    with evaluated(tmp_path, grants=GRANTS) as service:
        for number, (said, code) in enumerate(WHOLE, 1):
            answer = service.evaluate(said, MANY)
            assert (answer.status, answer.body.partition(b":")[0].decode()) == (400, code), answer.body
            assert len(service.records("action-refused-malformed")) == number
        twice = json.dumps(many(to("bob"))).replace('"evaluations"', '"evaluations":[],"evaluations"')
        assert service.evaluate(twice.encode(), MANY).body.startswith(b"duplicate-key")
        answer = service.evaluate(many(to("bob"), to("eve")), MANY, Idempotency_Key="k")
        assert (answer.status, answer.body.partition(b":")[0]) == (400, b"bad-request-key")
        assert decided(service) == []
        assert service.decision(many(to("bob")), MANY, Idempotency_Key="k") == [True]
        assert service.decision(many(to("bob")), MANY, Idempotency_Key="k") == [False]


def test_as_many_as_are_committed_together_are_decided_at_once(service: Evaluating) -> None:
    said = many(*[to("bob", amount=number % 50) for number in range(MOST_EVALUATIONS)])
    assert service.decision(said, MANY) == [True] * MOST_EVALUATIONS
    store = service.one.world.store
    with store.read() as snapshot:
        assert snapshot.actions.open_permits("default") == ()
        rows = snapshot.actions.actions("default", limit=100)
    assert {one.state.value for one in rows} == {"unwatched"}
    assert len({one.at for one in rows}) < 8  # instants of commits: one, unless the worker was quicker
    assert [int(one.request) for one in reversed(rows)] == list(range(MOST_EVALUATIONS))
