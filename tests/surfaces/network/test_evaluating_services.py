"""Services that ask by AuthZEN in their own names, for the task of an agent that came to them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.decision import TooManyRefusalsError
from taskbound.core.task import TaskEvent
from taskbound.flows.token.issuing import ServiceTokenOrder
from taskbound.flows.token.revoking import revoke_token
from tests.peers.holding import hold_policy
from tests.stories.test_services import FIRST, There
from tests.surfaces.network.agents import PAY
from tests.surfaces.network.evaluating import (
    MANY,
    Evaluating,
    add_tools,
    asking_tool,
    declare,
    entity,
    evaluated,
    pay,
)
from tests.surfaces.network.holding import binding
from tests.surfaces.network.test_acting import forbidden
from tests.surfaces.network.test_evaluation_holds import confirm, held, people_of
from tests.token_world import ISSUER, claims_in
from tests.world import ANN, SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.flows.token.verifying import Verified
    from tests.surfaces.network.holding import Holding
    from tests.surfaces.network.serving import Answer
    from tests.world import World

AUDIENCE = "https://payments.example"


class Enforcing(Evaluating):
    """A service with a token of its own, and an agent that shows it one of its task."""

    def __init__(self, one: Holding, grants: list[dict[str, Any]]) -> None:
        super().__init__(one, grants)
        self.there = There(one.world)
        self.there.add(tools=("bank__pay", "bank__look", "todo__*"))
        self.kid = self.there.key(FIRST)
        self.agents = self.token
        self.token = self.own()
        self.shown = self.show(self.task)

    def own(self) -> str:
        order = ServiceTokenOrder(
            namespace="default", service="payments", proven_by=self.kid, binding=binding()
        )
        return self.one.tokens.tokens.issue_service_token(order, ANN).text

    def show(self, task: Any, audience: str = AUDIENCE) -> str:
        """A token of this task that its agent shows the service."""
        return self.one.tokens.issue(task, audience=audience, binding=binding()).text

    def about(self, said: dict[str, Any], token: Any = None, **more: Any) -> dict[str, Any]:
        """The same, asked for the task of that token."""
        context = {"task_token": self.shown if token is None else token, **more}
        return {**said, "context": context}


@contextmanager
def enforced(
    folder: Path,
    *,
    policy: str = "",
    settle: Callable[[World], object] = lambda world: declare(world, "bank__pay"),
    grants: list[dict[str, Any]] | None = None,
) -> Iterator[Enforcing]:
    with evaluated(folder, policy=policy, settle=settle) as service:
        yield Enforcing(service.one, SCOPE["grants"] if grants is None else grants)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Enforcing]:
    with enforced(tmp_path) as made:
        yield made


def denied(answer: Answer) -> str:
    """The one code that a denial is for."""
    assert answer.status == 200, answer.body
    assert answer.json["decision"] is False
    (code,) = answer.json["context"]["reason_admin"]
    return str(code)


def test_a_service_is_permitted_what_the_agents_task_is_and_the_record_says_who_asked(
    service: Enforcing,
) -> None:
    left = service.one.world.left(service.task)["g0/uses"]
    answer = service.evaluate(service.about(pay()))
    assert (answer.status, answer.body) == (200, b'{"decision":true}')
    kept = service.kept(answer.headers["taskbound-action"])
    assert (kept.task, kept.agent, kept.state.value) == (service.task.id, "coder", "unwatched")
    assert kept.arguments == b'{"amount":10,"to":"bob"}'
    (decided,) = service.records("action-decided")
    own, shown = claims_in(service.token)["jti"], claims_in(service.shown)["jti"]
    assert decided["service"] == "payments"
    assert decided["proof"] == f"token:{shown} (dpop) by service:payments token:{own}"
    assert service.one.world.left(service.task)["g0/uses"] == left - 1
    told = json.dumps(service.one.world.records())
    assert service.shown not in told
    assert service.token not in told


def test_what_an_agent_showed_is_no_argument_and_the_rest_of_the_context_is(tmp_path: Path) -> None:
    with enforced(
        tmp_path,
        settle=lambda world: add_tools(world, todo=[asking_tool("edit", resource=entity())]),
        grants=[{"tool": "todo__edit", "others": "any"}],
    ) as service:
        asked = {
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "edit"},
            "resource": {"type": "todo", "id": "7"},
        }
        for more, expected in (({}, set()), ({"hour": 9}, {"context"})):
            answer = service.evaluate(service.about(asked, **more))
            assert answer.body == b'{"decision":true}', answer.body
            arguments = json.loads(service.kept(answer.headers["taskbound-action"]).arguments)
            assert set(arguments) == {"subject", "resource"} | expected
            assert arguments.get("context", more) == more


def test_for_nobodys_task_a_service_is_told_what_is_missing_with_one_record_each(service: Enforcing) -> None:
    for number, said in enumerate((pay(), service.about(pay(), ""), {**pay(), "context": {}}), 1):
        answer = service.evaluate(said)
        assert (answer.status, answer.body.partition(b":")[0]) == (400, b"task-token-missing")
        assert b"decision" not in answer.body
        assert len(service.records("action-refused-malformed")) == number
    for wrong in (7, ["x"], {"a": 1}, None, "x" * 20_000):
        said = pay() | {"context": {"task_token": wrong}}
        answer = service.evaluate(said)
        assert (answer.status, answer.body.partition(b":")[0]) == (400, b"bad-evaluation")
    assert service.records("action-decided") == []


def transaction(service: Enforcing) -> str:
    """A transaction token of the task, as its agent gets one."""
    own, service.token = service.token, service.agents
    service.one.place.daemon.token.issuing = service.one.tokens.tokens
    declare(service.one.world, "bank__pay", unwatched=False)
    answer = service.ask({**PAY, "token": True})
    declare(service.one.world, "bank__pay")
    service.token = own
    assert answer.status == 200, answer.body
    return str(answer.json["token"])


def altered(text: str) -> str:
    head, body, signature = text.split(".")
    return f"{head}.{body}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BA'}"


def other_agents(service: Enforcing) -> str:
    service.one.world.add_agent("helper")
    theirs = service.one.world.start(scope={"grants": SCOPE["grants"]}, agent="helper")
    return service.show(theirs, "https://ledger.example")


def revoked(service: Enforcing) -> str:
    issued = service.one.tokens.issue(service.task, audience=AUDIENCE, binding=binding())
    revoke_token(service.one.world.adapters, "default", issued.token.id, ANN, owns=True, why="stolen")
    return issued.text


def expired(service: Enforcing) -> str:
    shown = service.show(service.task)
    service.one.world.clock.advance(301)
    service.token = service.own()
    return shown


WORTHLESS: dict[str, tuple[Callable[[Enforcing], str], int, str]] = {
    "of us": (lambda one: one.show(one.task, ISSUER), 200, "token-audience"),
    "of another service": (lambda one: one.show(one.task, "https://ledger.example"), 200, "token-audience"),
    "of another agent, for another service": (other_agents, 200, "token-audience"),
    "the service's own": (lambda one: one.token, 200, "token-audience"),
    "a person's": (lambda one: one.one.person(), 200, "token-audience"),
    "of one action": (transaction, 400, "token-kind"),
    "altered": (lambda one: altered(one.shown), 200, "token-unproven"),
    "revoked": (revoked, 200, "token-revoked"),
    "no token": (lambda _: "x.y.z", 400, "token-encoding"),
    "over": (expired, 200, "token-expired"),
}


def test_a_token_that_the_agent_did_not_show_this_service_is_worth_nothing_to_it(service: Enforcing) -> None:
    for number, (what, (made, status, code)) in enumerate(WORTHLESS.items(), 1):
        token = made(service)
        before = len(service.records("action-decided"))
        answer = service.evaluate(service.about(pay(), token))
        if status == 200:
            assert denied(answer) == code, what
        else:
            assert (answer.status, answer.body.partition(b":")[0].decode()) == (status, code), what
            assert b"decision" not in answer.body
        assert len(service.records("action-decided")) == before
        undecided = service.records("action-undecided")
        assert (len(undecided), undecided[-1]["code"]) == (number, code)
        assert undecided[-1]["proof"] == f"token:{claims_in(service.token)['jti']} (dpop)"
        assert token not in json.dumps(service.one.world.records())


def test_a_service_asks_about_no_tool_that_another_one_enforces_and_the_refusal_is_the_tasks(
    service: Enforcing,
) -> None:
    service.there.set(tools=("bank__look",))
    assert denied(service.evaluate(service.about(pay()))) == "not-enforced"
    (decided,) = service.records("action-decided")
    assert (decided["service"], decided["task"], decided["decision"]) == (
        "payments",
        service.task.id,
        "refuse",
    )


def test_a_task_that_ended_is_told_as_that(service: Enforcing) -> None:
    service.one.world.tasks.end("default", service.task.id, TaskEvent.REVOKE, ANN, reason="")
    assert denied(service.evaluate(service.about(pay()))) == "task-ended"
    assert len(service.records("action-undecided")) == 1


def test_a_task_that_is_paused_is_refused_by_its_decision(service: Enforcing) -> None:
    service.one.world.tasks.end("default", service.task.id, TaskEvent.PAUSE, ANN, reason="")
    assert denied(service.evaluate(service.about(pay()))) == "task-paused"
    (decided,) = service.records("action-decided")
    assert decided["service"] == "payments"


def test_who_shows_a_token_of_their_task_names_no_other_one(service: Enforcing) -> None:
    service.token = service.agents
    answer = service.evaluate(service.about(pay()))
    assert (answer.status, answer.body.partition(b":")[0]) == (400, b"task-token-twice")
    assert len(service.records("action-refused-malformed")) == 1
    assert service.evaluate(pay()).body == b'{"decision":true}'


def test_an_agent_that_may_ask_for_nothing_is_evaluated_for_nothing_by_a_service_either(
    tmp_path: Path,
) -> None:
    with enforced(tmp_path, policy=base_bundle() + forbidden("action:ask")) as service:
        assert denied(service.evaluate(service.about(pay()))) == "operation-forbidden"
        assert len(service.records("action-undecided")) == 1
        assert service.records("action-decided") == []


def test_rules_may_keep_services_from_evaluating_and_leave_it_to_agents(tmp_path: Path) -> None:
    rule = (
        '@id("house:no-services") forbid (principal is Taskbound::Service,'
        ' action == Taskbound::Action::"action:evaluate", resource);'
    )

    with enforced(tmp_path, policy=base_bundle() + rule) as service:
        answer = service.evaluate(service.about(pay()))
        assert (answer.status, answer.body.partition(b":")[0]) == (403, b"operation-forbidden")
        service.token = service.agents
        assert service.evaluate(pay()).body == b'{"decision":true}'


def test_a_request_of_many_is_about_the_tasks_of_as_many_agents(service: Enforcing) -> None:
    world = service.one.world
    second = world.start(scope={"grants": SCOPE["grants"]})
    items: list[dict[str, Any]] = [
        service.about({}),
        service.about({}, service.show(second)),
        service.about({}, service.show(second, ISSUER)),
        {"context": {}},
    ]
    body = {**pay(), "evaluations": items}
    answer = service.evaluate(body, MANY)
    assert answer.status == 200, answer.body
    told = answer.json["evaluations"]
    assert [one["decision"] for one in told] == [True, True, False, False]
    assert set(told[2]["context"]["reason_admin"]) == {"token-audience"}
    assert told[3]["context"]["error"]["status"] == 400
    assert told[3]["context"]["error"]["message"].startswith("task-token-missing")
    tasks = [one["task"] for one in service.records("action-decided")]
    assert sorted(tasks) == sorted([service.task.id, second.id])
    assert len(service.records("action-refused-malformed")) == 1
    default = {**pay(), "evaluations": [{}, {}], **service.about({})}
    looked: list[str] = []
    verification = service.one.place.daemon.token.verification
    verify = verification.verify_relayed

    def counted(text: str, **more: Any) -> Verified:
        looked.append(text)
        return verify(text, **more)

    verification.verify_relayed = counted  # type: ignore[method-assign]  # it does what it did
    assert service.decision(default, MANY) == [True, True]
    assert looked == [service.shown]


def test_a_service_keeps_no_agent_there_that_is_not_heard_of_any_more(service: Enforcing) -> None:
    network = service.one.place.daemon.network
    network.take_heard()
    assert service.decision(service.about(pay())) is True
    assert network.take_heard() == frozenset()
    service.token = service.agents
    assert service.decision(pay()) is True
    assert network.take_heard() == {("default", service.task.id)}


def test_what_a_service_asks_for_nobodys_task_is_its_own_allowance_and_not_an_agents_or_strangers(
    service: Enforcing,
) -> None:
    number = 0
    while len(service.records("action-refused-malformed")) == number and number < 400:
        service.evaluate(pay())
        number += 1
    assert 10 < number < 400
    assert service.decision(service.about(pay())) is True
    refusals = service.one.place.daemon.refusals
    for holder in ("", "coder"):
        refusals.require("default", holder, code="bad-evaluation")  # raises where it is used up
    with pytest.raises(TooManyRefusalsError):
        refusals.require("default", "service:payments", code="bad-evaluation")
    service.token = service.agents
    assert denied(service.evaluate(pay(amount=99))) == "outside-scope"


def test_a_service_reports_and_follows_no_action_and_asks_for_none_elsewhere(service: Enforcing) -> None:
    action = service.evaluate(service.about(pay())).headers["taskbound-action"]
    assert service.follow(action).status == 403
    assert service.tell(action).status == 403
    assert service.ask().status == 403


def test_a_hold_of_a_services_question_is_used_by_the_same_question_once(tmp_path: Path) -> None:
    with enforced(tmp_path, policy=hold_policy("confirm")) as service:
        people = people_of(service)
        action = held(service, service.about(pay()))["evaluation_id"]
        confirm(service, people, action)
        answer = service.evaluate(service.about(pay(), service.show(service.task)))
        assert (answer.json, answer.headers["taskbound-action"]) == ({"decision": True}, action)
        assert held(service, service.about(pay()))["evaluation_id"] != action
        services = [one["service"] for one in service.records("action-decided")]
        assert services == ["payments"] * 3


def test_law_7_a_key_is_of_the_task_whoever_asks_for_it(service: Enforcing) -> None:
    assert service.decision(service.about(pay()), Idempotency_Key="k") is True
    again = service.evaluate(service.about(pay()), Idempotency_Key="k")
    assert denied(again) == "action-repeated"
    duplicate = service.records("action-decided")[1]
    assert (duplicate["decision"], duplicate["service"]) == ("duplicate", "payments")
    service.token = service.agents
    assert denied(service.evaluate(pay(), Idempotency_Key="k")) == "action-repeated"
