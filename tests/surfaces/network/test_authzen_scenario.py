"""The certification scenario of AuthZEN 1.0, case by case under its own numbers (Basic, Batch, Discovery).

Its searches (c-4) are served by nobody here; that they are not is looked at too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from tests.surfaces.network.evaluating import MANY, ONE, Evaluating, evaluated
from tests.surfaces.network.holding import HOST
from tests.surfaces.network.test_authzen import GRANTS, RULES, scenario
from tests.token_world import ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE: dict[str, Any] = {"type": "user", "id": "alice"}
BOB: dict[str, Any] = {"type": "user", "id": "bob"}
ADMIN = BOB | {"properties": {"role": "admin"}}
READ, WRITE = {"name": "read"}, {"name": "write"}
FIRST, SECOND = {"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}
SOFT, HARD = ({"name": "delete", "properties": {"soft": one}} for one in (True, False))
ACTIVE = FIRST | {"properties": {"status": "active"}}
ARCHIVED = SECOND | {"properties": {"status": "archived"}}
PLAIN: dict[str, Any] = {"subject": ALICE, "action": READ, "resource": FIRST}
TIME = {"time": "2025-06-27T18:03-07:00"}


DECIDED: dict[str, tuple[dict[str, Any], bool]] = {
    "c-1-4, 2": (PLAIN | {"action": WRITE}, True),
    "c-1-4, 3": (PLAIN | {"subject": BOB}, True),
    "c-2-2-1": (PLAIN, True),
    "c-2-2-2": (PLAIN | {"subject": BOB, "action": WRITE}, False),
    "c-2-2-3": (PLAIN | {"context": TIME | {"ip": "192.168.1.1"}}, True),
    "c-2-2-4": (PLAIN | {"action": WRITE, "resource": ARCHIVED}, False),
    "c-2-2-5": (PLAIN | {"subject": ADMIN, "action": WRITE, "resource": ARCHIVED}, True),
    "c-2-2-6": (PLAIN | {"action": SOFT}, True),
    "c-2-2-7": (PLAIN | {"action": HARD}, False),
    "c-2-2-8": (
        {
            "subject": ALICE | {"properties": {"department": "Sales", "role": "manager"}},
            "action": READ | {"properties": {"method": "GET"}},
            "resource": FIRST | {"properties": {"status": "active", "owner": "bob"}},
        },
        True,
    ),
    "c-2-2-9": (PLAIN | {"foo": "bar", "futureField": {"nested": True}}, True),
}
UNREAD: dict[str, Any] = {
    **{f"c-2-4-1, {gone}": {k: v for k, v in PLAIN.items() if k != gone} for gone in PLAIN},
    "c-2-4-2, subject.type": PLAIN | {"subject": {"id": "alice"}},
    "c-2-4-2, subject.id": PLAIN | {"subject": {"type": "user"}},
    "c-2-4-2, action.name": PLAIN | {"action": {}},
    "c-2-4-2, resource.type": PLAIN | {"resource": {"id": "record-1"}},
    "c-2-4-2, resource.id": PLAIN | {"resource": {"type": "record"}},
    "c-2-4-4": b'{"subject": ',
    "c-2-4-5": b"",
    "c-2-4-6, subject": PLAIN | {"subject": "alice"},
    "c-2-4-6, action.name": PLAIN | {"action": {"name": 123}},
}
BATCHES: dict[str, tuple[dict[str, Any], list[bool] | bool]] = {
    "c-3-2-1": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": FIRST}, {"resource": SECOND}]},
        [True, True],
    ),
    "c-3-2-2": (
        {"subject": BOB, "resource": FIRST, "evaluations": [{"action": READ}, {"action": WRITE}]},
        [True, False],
    ),
    "c-3-2-3": (
        {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}]},
        [True, False],
    ),
    "c-3-2-4": (
        {"action": WRITE, "resource": ARCHIVED, "evaluations": [{"subject": ALICE}, {"subject": ADMIN}]},
        [False, True],
    ),
    "c-3-2-5": ({"evaluations": [PLAIN, PLAIN | {"subject": BOB, "action": WRITE}]}, [True, False]),
    "c-3-2-6": (
        {"subject": ALICE, "action": READ, "context": TIME}
        | {
            "evaluations": [
                {"resource": FIRST},
                {"resource": SECOND, "context": {"time": "2025-06-27T19:00-07:00", "source": "override"}},
            ]
        },
        [True, True],
    ),
    "c-3-2-7": (
        {"subject": ALICE, "action": WRITE, "resource": {"type": "record"}}
        | {
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": ARCHIVED},
            ]
        },
        [True, False],
    ),
    "c-3-4-1": (
        {"subject": ALICE, "action": READ, "evaluations": [{"resource": FIRST}, {}]},
        [True, False],
    ),
    "c-3-4-2": (PLAIN, True),
    "c-3-4-3": (PLAIN | {"evaluations": []}, True),
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Evaluating]:
    """The service that the certification scenario calls."""
    with evaluated(tmp_path, settle=scenario, grants=GRANTS, policy=base_bundle() + RULES) as made:
        yield made


def test_basic_each_request_is_decided_as_the_scenario_says_also_again(service: Evaluating) -> None:
    for _ in range(2):  # c-2-6
        found = {number: service.decision(said) for number, (said, _) in DECIDED.items()}
        assert found == {number: wanted for number, (_, wanted) in DECIDED.items()}


def test_basic_what_can_not_be_read_is_400_and_a_request_s_own_id_comes_back(service: Evaluating) -> None:
    for path in (ONE, MANY):
        for number, said in UNREAD.items():
            answer = service.evaluate(said, path, X_Request_ID="7b1c")  # c-2-5-1
            assert (answer.status, answer.headers["x-request-id"]) == (400, "7b1c"), number
    assert service.evaluate(PLAIN, Content_Type="text/plain").status == 400  # c-2-4-3
    plain = service.evaluate(PLAIN)
    assert (plain.status, "x-request-id" in plain.headers) == (200, False)  # c-2-5-2
    assert plain.headers["content-type"] == "application/json"  # c-5


def test_batch_each_request_is_decided_as_the_scenario_says(service: Evaluating) -> None:
    found = {number: service.decision(said, MANY) for number, (said, _) in BATCHES.items()}
    assert found == {number: wanted for number, (_, wanted) in BATCHES.items()}
    said = service.evaluate(BATCHES["c-3-4-1"][0], MANY).json["evaluations"][1]
    assert said["context"]["error"]["status"] == 400


def test_of_a_default_an_item_takes_what_names_it_and_never_its_properties(service: Evaluating) -> None:
    def asked(resource: Any, *items: Any) -> dict[str, Any]:
        return {"subject": ALICE, "action": WRITE, "resource": resource, "evaluations": [*items]}

    bare = {"resource": {"id": "record-1"}}
    assert service.decision(asked(ARCHIVED, {}, bare), MANY) == [False, True]  # the status is not taken
    half = asked({"type": "record"}, {}, {"resource": {"id": None}}, {"resource": {}}, {"resource": FIRST})
    assert service.decision(half, MANY) == [False, False, False, True]
    assert service.evaluate(asked({"type": 7}, {"resource": FIRST}), MANY).status == 400
    assert service.evaluate(asked("record-1", {"resource": FIRST}), MANY).status == 400


def test_discovery_the_metadata_is_whole_and_names_no_search(service: Evaluating) -> None:
    there = service.one.there
    answer = there.ask("GET", "/.well-known/authzen-configuration", Host=HOST)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")  # c-6-5
    assert answer.json["policy_decision_point"] == ISSUER
    for name in ("access_evaluation_endpoint", "access_evaluations_endpoint"):
        assert answer.json[name].startswith("https://")
    assert not any(name.startswith("search_") for name in answer.json)
    for kind in ("subject", "resource", "action"):
        body = json.dumps(PLAIN).encode()
        assert there.ask("POST", f"/access/v1/search/{kind}", body, Host=HOST).status == 404  # c-4-1
