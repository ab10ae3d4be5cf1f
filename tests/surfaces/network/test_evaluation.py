from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.decision.hold import is_network_holder
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.surfaces.network.authzen.response import EvaluationPoint
from taskbound.surfaces.network.head import Head
from taskbound.surfaces.network.problem import Link
from taskbound.wire.network import Shown
from tests.surfaces.network.agents import PAY, refused
from tests.surfaces.network.evaluating import ALICE, MANY, ONE, Evaluating, declare, evaluated, pay
from tests.surfaces.network.holding import HOST
from tests.surfaces.network.test_acting import forbidden
from tests.token_world import ISSUER, claims_in
from tests.world import ANN, SCOPE

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient

pytestmark = pytest.mark.anyio


def test_a_permit_is_true_and_nothing_else_and_the_act_is_used_with_its_record(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=SCOPE["grants"]) as service:
        left = service.one.world.left(service.task)["g0/uses"]
        answer = service.evaluate(pay())
        assert (answer.status, answer.body) == (200, b'{"decision":true}')
        assert answer.headers["content-type"] == "application/json"
        kept = service.kept(answer.headers["taskbound-action"])
        assert (kept.state.value, kept.tool, kept.task) == ("unwatched", "bank__pay", service.task.id)
        assert kept.arguments == b'{"amount":10,"to":"bob"}'
        assert is_network_holder(kept.connection)
        (decided,) = service.records("action-decided")
        assert decided["proof"] == f"token:{claims_in(service.token)['jti']} (dpop)"
        assert (decided["outcome"], decided["subject"]) == ("unwatched", '{"id":"alice","type":"user"}')
        assert service.one.world.left(service.task)["g0/uses"] == left - 1
        state = service.follow(kept.id).json
        assert (state["state"], state["due"]) == ("unwatched", 0)
        refused(service.tell(kept.id, "not-sent"), 409, "not-holder")
        assert service.token not in json.dumps(service.one.world.records())


def test_a_denial_is_200_and_says_no_more_than_an_agent_is_told(tmp_path: Path) -> None:
    rules = base_bundle() + (
        '@id("house:secret-rule") forbid (principal, action == Taskbound::Action::"bank__pay", resource)'
        ' when { context.arguments.to == "eve" };'
    )

    with evaluated(tmp_path, policy=rules) as service:
        answer = service.evaluate(pay(to="eve"))
        assert answer.status == 200
        told = answer.json
        assert told["decision"] is False
        assert set(told["context"]) == {"reason_admin", "reason_user", "evaluation_id"}
        assert told["context"]["reason_admin"] == {"forbidden": "the organisation's rules forbid it"}
        assert b"secret-rule" not in answer.body
        assert service.kept(told["context"]["evaluation_id"]).state.value == "refused"
        assert service.decision(pay()) is True


REFUSED: list[tuple[dict[str, Any], str]] = [
    (pay(amount=99), "outside-scope"),
    (pay() | {"resource": {"type": "tool", "id": "bank__look"}}, "outcome-watched"),
    (pay() | {"resource": {"type": "tool", "id": "bank__steal"}}, "unknown-tool"),
    (pay() | {"resource": {"type": "tool", "id": "nothing"}}, "bad-tool-name"),
    (pay() | {"resource": {"type": "Bank", "id": "1"}}, "bad-tool-name"),
    (pay() | {"resource": {"type": "bank", "id": "1"}}, "bad-tool-name"),
    (pay() | {"resource": {"type": "b\u0430nk", "id": "1"}, "action": {"name": "pay"}}, "foreign-character"),
    (pay() | {"resource": {"type": "bank__p", "id": "1"}, "action": {"name": "ay"}}, "bad-tool-name"),
    (
        pay() | {"resource": {"type": "orders-db", "id": "1"}, "action": {"name": "credential/reader"}},
        "not-a-tool",
    ),
]

ADVICE = {"bad-tool-name": "write `server__tool`", "foreign-character": "write names in A-Z"}


def test_what_no_tool_can_be_the_answer_to_is_denied_with_one_record_and_is_no_error(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=SCOPE["grants"]) as service:
        for number, (said, code) in enumerate(REFUSED, 1):
            answer = service.evaluate(said)
            assert (answer.status, answer.json["decision"]) == (200, False), answer.body
            assert set(answer.json["context"]["reason_admin"]) == {code}, said
            assert ADVICE.get(code, "") in answer.json["context"]["reason_user"][code], said
            records = [one["event"]["kind"] for one in service.one.world.records()]
            assert records.count("action-decided") + records.count("action-refused-malformed") == number


WRONG: tuple[Any, ...] = (None, "x", [], 1, True)
BAD: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b" ", "empty"),
    (b"{", "not-json"),
    (b"\xff", "not-utf8"),
    (b"[]", "not-an-object"),
    (b"{}", "bad-evaluation"),
    (b'{"subject":{"type":"user","id":"a"},"subject":{"type":"user","id":"b"}}', "duplicate-key"),
    (json.dumps(pay()).replace('"to"', '"amount": 1, "to"').encode(), "duplicate-key"),
    (json.dumps(pay(to="\ud800")).encode(), "lone-surrogate"),
    (b'{"context":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", "too-deep"),
    *(
        (json.dumps({k: v for k, v in pay().items() if k != gone}).encode(), "bad-evaluation")
        for gone in pay()
    ),
    *(
        (json.dumps(pay() | {name: wrong}).encode(), "bad-evaluation")
        for name in ("subject", "action", "resource", "context")
        for wrong in WRONG
    ),
    (json.dumps(pay() | {"subject": {"type": "user"}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"subject": {"id": "alice"}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"subject": {"type": "user", "id": 7}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"subject": {**ALICE, "properties": []}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"subject": {**ALICE, "properties": None}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"subject": {"type": "user", "id": "a" * 1000}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"action": {"name": None}}).encode(), "bad-evaluation"),
    (json.dumps(pay() | {"resource": {"type": "tool", "id": ["bank__pay"]}}).encode(), "bad-evaluation"),
]


def test_what_can_not_be_read_is_400_with_words_and_leaves_one_record(service: Evaluating) -> None:
    for number, (body, code) in enumerate(BAD, 1):
        answer = service.evaluate(body)
        assert answer.status == 400, (body, answer.body)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.split(b":")[0].decode().startswith(code.split("-")[0]), (body, answer.body)
        assert b"decision" not in answer.body
        assert len(service.records("action-refused-malformed")) == number, body
    assert service.records("action-decided") == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": ""},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Encoding": "gzip"},
    ],
    ids=["text", "none", "form", "encoded"],
)
def test_a_body_of_another_kind_is_400_too(service: Evaluating, headers: dict[str, str]) -> None:
    answer = service.evaluate(pay(), **headers)
    assert (answer.status, answer.body[:12]) == (400, b"content-type")
    assert len(service.records("action-refused-malformed")) == 1


def test_who_is_not_proven_gets_401_with_a_challenge_and_is_told_nothing_of_the_body(
    service: Evaluating,
) -> None:
    there = service.one.there
    for body in (b"{", json.dumps(pay()).encode()):
        answer = there.ask("POST", ONE, body, Host=HOST, X_Request_ID="7b1c")
        assert (answer.status, answer.body[:9]) == (401, b"no-proof:")
        assert answer.headers["www-authenticate"].startswith("DPoP ")
        assert answer.headers["x-request-id"] == "7b1c"
        shown = service.one.shown("POST", ONE, service.token, htm="GET")
        answer = there.ask("POST", ONE, body, Host=HOST, **shown)
        assert (answer.status, answer.body[:12]) == (401, b"dpop-method:")
        assert "invalid_dpop_proof" in answer.headers["www-authenticate"]
    person = service.one.person()
    answer = service.one.ask("POST", ONE, person, json.dumps(pay()).encode())
    assert (answer.status, answer.body[:17]) == (403, b"other-token-kind:")
    assert service.records("action-decided") == []


async def test_who_shows_nothing_is_told_so_without_the_daemon_and_who_shows_something_waits_for_it() -> None:
    async def absent(_: object) -> AsyncClient:
        raise ConnectionRefusedError

    point = EvaluationPoint(Link(absent), ISSUER)
    head = Head(verb="POST", path=ONE, found=None, query={}, headers={}, length=2)
    for authorization, code in (("", "no-proof"), ("DPoP x", "daemon-lost")):
        shown = Shown(method="POST", uri=f"{ISSUER}{ONE}", authorization=authorization)
        with pytest.raises(TaskboundError) as caught:
            await point.answer(head, b"{}", shown)
        assert caught.value.code == code


def test_nobody_evaluates_for_the_task_of_another_or_for_one_that_ended(service: Evaluating) -> None:
    other = service.one.world.start(scope={"grants": SCOPE["grants"]})
    assert service.decision({**pay(), "context": {"task": other.id}, "task": other.id}) is True
    assert {one["task"] for one in service.records("action-decided")} == {service.task.id}
    service.one.world.tasks.end("default", service.task.id, TaskEvent.REVOKE, ANN, reason="")
    answer = service.evaluate(pay())
    assert (answer.status, answer.body.partition(b":")[0]) == (401, b"task-ended")


def test_a_request_id_comes_back_as_it_was_sent_and_makes_no_two_requests_one(service: Evaluating) -> None:
    for _ in range(2):
        answer = service.evaluate(pay(), X_Request_ID="bfe9eb29-ab87")
        assert answer.headers["x-request-id"] == "bfe9eb29-ab87"
    assert len({one["action"] for one in service.records("action-decided")}) == 2


def test_law_7_a_key_that_comes_again_permits_nothing_more(service: Evaluating) -> None:
    assert service.decision(pay(), Idempotency_Key="k") is True
    again = service.evaluate(pay(), Idempotency_Key="k").json
    assert again["decision"] is False
    assert set(again["context"]["reason_admin"]) == {"action-repeated"}
    other = service.evaluate(pay(amount=1), Idempotency_Key="k")
    assert other.status == 200
    assert set(other.json["context"]["reason_admin"]) == {"key-reused"}
    bad = service.evaluate(pay(), Idempotency_Key="a b")
    assert (bad.status, bad.body.partition(b":")[0]) == (400, b"bad-request-key")
    assert len(service.records("action-decided")) == 3


def test_what_nobody_knows_of_is_ignored_and_what_stands_elsewhere_is_no_argument(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=SCOPE["grants"]) as service:
        said = pay() | {"odd": 1, "evaluations": "x", "options": 7, "decision": True}
        said["subject"] = {**ALICE, "properties": {"to": "mallory", "amount": 1e9}, "token": "t"}
        said["action"] = {"name": "tools/call", "properties": {"amount": 1e9}, "odd": []}
        said["resource"] = {**said["resource"], "to": "mallory", "odd": {}}
        said["context"] = {"to": "mallory", "amount": 1e9}
        assert service.decision(said) is True
        (decided,) = service.records("action-decided")
        assert service.kept(decided["action"]).arguments == b'{"amount":10,"to":"bob"}'


def test_who_may_ask_for_no_action_may_not_evaluate_one(tmp_path: Path) -> None:
    with evaluated(tmp_path, policy=base_bundle() + forbidden("action:ask")) as service:
        answer = service.evaluate(pay())
        assert (answer.status, answer.body.partition(b":")[0]) == (403, b"operation-forbidden")
        assert service.records("action-decided") == []


def test_rules_may_forbid_evaluations_alone(tmp_path: Path) -> None:
    with evaluated(tmp_path, policy=base_bundle() + forbidden("action:evaluate")) as service:
        answer = service.evaluate(pay())
        assert (answer.status, answer.body.partition(b":")[0]) == (403, b"operation-forbidden")
        declare(service.one.world, "bank__pay", unwatched=False)
        assert service.ask(PAY).status == 200


def test_who_fishes_for_what_is_let_through_is_recorded_and_runs_out_of_refusals(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=SCOPE["grants"]) as service:
        tries = 0
        while (answer := service.evaluate(pay(amount=100 + tries))).status == 200 and tries < 400:
            assert answer.json["decision"] is False
            tries += 1
        assert (answer.status, answer.body.partition(b":")[0]) == (429, b"too-many-refusals")
        assert answer.headers["retry-after"]
        assert b"decision" not in answer.body
        assert len(service.records("action-decided")) == tries


def test_each_path_is_posted_to_and_has_no_query(service: Evaluating) -> None:
    for path in (ONE, MANY):
        answer = service.one.ask("GET", path, service.token)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        answer = service.one.ask("POST", f"{path}?task=x", service.token, json.dumps(pay()).encode())
        assert (answer.status, answer.body.partition(b":")[0]) == (400, b"bad-query")
    for kind in ("subject", "resource", "action"):
        answer = service.one.ask("POST", f"/access/v1/search/{kind}", service.token, b"{}")
        assert (answer.status, answer.code) == (404, "unknown-path")
