from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskbound.core.approval import AnswerKind
from taskbound.core.clock import parse_instant
from tests.peers.holding import Answerers, hold_policy
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
from tests.surfaces.network.test_step_up_answers import link_ann
from tests.token_world import ISSUER
from tests.world import SCOPE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import World

TEN_MINUTES = 600_000_000


def people_of(service: Evaluating) -> Answerers:
    found = Answerers(service.one.world)
    found.task = service.task
    return found


def confirm(service: Evaluating, people: Answerers, action: str) -> None:
    raw = people.statement(action, "ann", AnswerKind.CONFIRM)
    service.one.world.approvals.answer("default", raw, people.devices["ann"][1].sign(raw))


def held(service: Evaluating, said: Any = None, **headers: str) -> dict[str, Any]:
    answer = service.evaluate(said or pay(), **headers)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json
    assert told["decision"] is False
    assert set(told["context"]["reason_admin"]) == {"held"}
    return dict(told["context"])


def test_a_hold_is_a_denial_that_says_where_people_look_at_it_and_the_same_again_is_its_permit(
    tmp_path: Path,
) -> None:
    with evaluated(tmp_path, policy=hold_policy("confirm")) as service:
        people = people_of(service)
        context = held(service)
        action = context["evaluation_id"]
        question = people.approval(action).question
        assert context["access_request"]["form_url"] == f"{ISSUER}/approvals/{question.id}"
        ends = parse_instant(context["access_request"]["expires_at"])
        assert 0 < ends - service.one.world.clock.at <= TEN_MINUTES
        assert set(context) == {"access_request", "evaluation_id", "reason_admin", "reason_user"}
        assert held(service)["evaluation_id"] == action
        left = service.one.world.left(service.task)
        confirm(service, people, action)
        assert service.one.world.left(service.task) == left  # a yes permits nothing by itself
        again = service.evaluate(pay())
        assert (again.json, again.headers["taskbound-action"]) == ({"decision": True}, action)
        assert service.kept(action).state.value == "unwatched"
        assert held(service)["evaluation_id"] != action  # it was used, once


def test_what_the_profiles_have_a_caller_add_to_its_context_makes_no_other_act_of_it(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "write"},
        "resource": {"type": "record", "id": "1"},
    }

    write = asking_tool("write", resource=entity())
    with evaluated(
        tmp_path,
        settle=lambda world: add_tools(world, record=[write]),
        grants=[{"tool": "record__write", "others": "any"}],
        policy=hold_policy("confirm").replace("bank__pay", "record__write"),
    ) as service:
        people = people_of(service)
        plain = {**said, "context": {"ip": "10.0.0.1", "supported_obligations": ["step-up"]}}
        first = held(service, plain)["evaluation_id"]
        assert b'"context":{"ip":"10.0.0.1"}' in service.kept(first).arguments
        confirm(service, people, first)
        approval = {"id": people.approval(first).question.id, "state": "approved"}
        again = {**said, "context": {"ip": "10.0.0.1", "approval": approval, "access_request": {}}}
        assert held(service, {**again, "context": {"ip": "10.0.0.2"}})["evaluation_id"] != first
        assert service.evaluate(again).headers["taskbound-action"] == first


def test_nobody_s_word_in_a_context_lifts_a_hold(tmp_path: Path) -> None:
    with evaluated(tmp_path, policy=hold_policy("confirm")) as service:
        people = people_of(service)
        action = held(service)["evaluation_id"]
        question = people.approval(action).question.id
        forged = {"id": question, "state": "approved", "approved_until": "2099-01-01T00:00:00Z"}
        assert service.decision({**pay(), "context": {"approval": forged}}) is False
        assert people.state(action) == ("held", "pending")


def test_a_hold_that_a_sign_in_lifts_obliges_to_that_sign_in(tmp_path: Path) -> None:
    def settle(world: World) -> None:
        declare(world, "bank__pay")
        Answerers(world)
        link_ann(world)
        world.clock.advance(25 * 3600)

    with evaluated(tmp_path, settle=settle, policy=hold_policy("step-up:mfa@300")) as service:
        context = held(service)
        (obligation,) = context["obligations"]
        assert obligation == {
            "id": f"{context['evaluation_id']}-1",
            "type": "step-up",
            "properties": {"acr_value": "mfa", "max_age": 300},
        }


def test_what_a_person_narrowed_is_told_with_what_may_be_asked_for_instead(tmp_path: Path) -> None:
    with evaluated(tmp_path, grants=SCOPE["grants"], policy=hold_policy("confirm")) as service:
        people = people_of(service)
        action = held(service)["evaluation_id"]
        less = service.one.world.narrow(*people.narrowing(action, "ann", {"to": "bob", "amount": 4}))
        told = service.evaluate(pay()).json
        assert told["decision"] is False
        assert set(told["context"]["reason_admin"]) == {"narrowed"}
        assert told["context"]["instead"] == {"to": "bob", "amount": 4}
        assert service.evaluate(pay(amount=4)).headers["taskbound-action"] == less.instead.action


def test_items_of_one_request_are_held_each_and_lifted_each(tmp_path: Path) -> None:
    with evaluated(tmp_path, policy=hold_policy("confirm")) as service:
        people = people_of(service)
        said = {**pay(), "evaluations": [{}, {"resource": pay(amount=1)["resource"]}]}
        first, second = service.evaluate(said, MANY).json["evaluations"]
        ids = [one["context"]["evaluation_id"] for one in (first, second)]
        assert len(set(ids)) == 2
        confirm(service, people, ids[1])
        assert service.decision(said, MANY) == [False, True]
        assert [service.kept(one).state.value for one in ids] == ["held", "unwatched"]
