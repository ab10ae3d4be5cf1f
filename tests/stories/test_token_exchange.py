from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import (
    Binding,
    BindingKind,
    Principal,
    PrincipalKind,
    WorkloadKind,
    WorkloadProof,
)
from taskbound.core.task import TaskEvent, TaskState, Template
from taskbound.core.token import TokenKeyState
from taskbound.core.token.exchange import (
    ACCESS_TOKEN,
    GRANT,
    OAUTH_ERRORS,
    TASK_REFERENCE,
    TRANSACTION_TOKEN,
    parse_exchange,
)
from taskbound.flows.identity import register_person
from taskbound.flows.task.delegate import save_template
from taskbound.flows.token.exchange import Exchanges
from taskbound.flows.token.issuing import Exchanged, PersonTokenOrder
from taskbound.wire.signer import Asserted, SignedToken
from taskbound.wire.workload import Assertion
from tests.stories.test_bundles import put_in_force
from tests.token_world import API, ISSUER, KEY, OTHER_KEY, TokenWorld, claims_in
from tests.world import ANN, CEILING, SCOPE, id_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task

MTLS = Binding(kind=BindingKind.MTLS, thumbprint="m" * 43)
DETAILS = json.dumps([{"type": "taskbound_task", "template": "pay", "purpose": "the rest"}])


def agent(here: TokenWorld, name: str = "coder", life: int = 3600) -> Principal:
    until = Instant(here.world.clock.now() + seconds(life))
    proof = WorkloadProof(kind=WorkloadKind.KEY, issuer="", subject="k", until=until)
    return Principal(kind=PrincipalKind.AGENT, namespace="default", name=name, proof=proof)


def exchange(
    here: TokenWorld, principal: Principal, subject: str, binding: Binding | None = KEY, /, **more: str
) -> Exchanged:
    kind = TASK_REFERENCE if subject.startswith("tsk_") else ACCESS_TOKEN
    plain = {
        "grant_type": GRANT,
        "subject_token": subject,
        "subject_token_type": kind,
        "resource": API,
    }
    form = {name: [value] for name, value in (plain | more).items() if value}
    exchanges = Exchanges(
        here.adapters,
        tokens=here.tokens,
        verification=here.verification,
        tasks=here.world.tasks,
        delegations=here.world.delegations,
        targets=lambda _: [API],
        refused=lambda verdict, request, name: here.refused.append((verdict, request, name)),
        unbelieved=lambda _, form, shown, error: here.unbelieved.append((form, shown, error.code)),
    )
    return exchanges.exchange(form, principal, binding)


def refused(code: str, work: Callable[[], object], oauth: str = "invalid_request") -> None:
    with pytest.raises(TaskboundError) as found:
        work()
    assert found.value.code == code, found.value
    assert OAUTH_ERRORS.get(found.value.code, "invalid_request") == oauth


def save(here: TokenWorld, name: str, scope: dict[str, Any]) -> None:
    order = Template(namespace="default", name=name, scope=scope_of(scope), seconds=600, purpose=name)
    save_template(here.adapters, order, ANN)


def handed(here: TokenWorld) -> tuple[Task, str]:
    """A task of `coder`, and the token that it asked for to hand it on; `helper` is there, and a template."""
    task = here.settle_in()
    here.world.add_agent("helper")
    save(here, "pay", SCOPE)
    return task, here.issue(task, audience=ISSUER, may_act="agent:helper").text


def test_an_agent_gets_a_token_of_its_own_task_bound_to_its_key(here: TokenWorld) -> None:
    task = here.settle_in()
    done = exchange(here, agent(here), task.id)
    assert (done.kind, done.token_type, done.scope, done.task) == (ACCESS_TOKEN, "DPoP", "task", task.id)
    assert done.life == 300
    assert here.verify(done.issued.text).principal.name == "coder"
    assert exchange(here, agent(here), task.id, MTLS).token_type == "Bearer"
    assert exchange(here, agent(here), task.id, scope="task").scope == "task"


def test_a151_a_token_ends_no_later_than_what_proved_its_agent(here: TokenWorld) -> None:
    task = here.settle_in()
    assert exchange(here, agent(here, life=20), task.id).life <= 20


def test_a151_nothing_is_issued_without_a_key(here: TokenWorld) -> None:
    task = here.settle_in()
    refused("token-unbound", lambda: exchange(here, agent(here), task.id, None))
    assert here.rows() == ()


@pytest.mark.parametrize(
    "scope", ["admin", "task admin", "task ", " task", "task\ttask", "TASK", "*", "task,x"]
)
def test_a140_a151_a_wider_or_strangely_written_scope_is_refused(here: TokenWorld, scope: str) -> None:
    task = here.settle_in()
    refused("bad-scope", lambda: exchange(here, agent(here), task.id, scope=scope), "invalid_scope")


@pytest.mark.parametrize(
    "target", [API[:-1], API + "x", "https://evil.example/", API.upper().replace("HTTPS", "https")]
)
def test_a151_a_resource_that_no_token_is_issued_for_is_refused(here: TokenWorld, target: str) -> None:
    task = here.settle_in()
    refused("unknown-target", lambda: exchange(here, agent(here), task.id, resource=target), "invalid_target")


def test_a135_a_task_of_another_agent_or_that_is_none_is_refused(here: TokenWorld) -> None:
    task, _ = handed(here)
    refused("no-task", lambda: exchange(here, agent(here, "helper"), task.id))
    refused("no-task", lambda: exchange(here, agent(here), "tsk_nothing"))
    other = replace(agent(here), namespace="acme")
    refused("unknown-identity", lambda: exchange(here, other, task.id), "unauthorized_client")


def test_a_token_that_was_handed_on_becomes_one_of_a_child_task_that_says_both(here: TokenWorld) -> None:
    task, token = handed(here)
    done = exchange(here, agent(here, "helper"), token, OTHER_KEY, authorization_details=DETAILS)
    child = here.world.task(replace(task, id=done.task))
    assert (child.parent, child.agent, child.requester) == (task.id, "helper", "ann")
    assert child.deadline <= task.deadline
    found = claims_in(done.issued.text)
    assert found["act"] == {"sub": "agent:helper", "act": {"sub": "agent:coder"}}
    assert (found["sub"], found["client_id"]) == ("person:ann", "agent:helper")
    assert found["exp"] <= claims_in(token)["exp"]
    assert here.verify(done.issued.text, shown=OTHER_KEY).principal.name == "helper"
    started = here.world.events("task-started")[-1]
    assert started["proof"] == f"token:{claims_in(token)['jti']} shown by agent:helper"
    again = claims_in(exchange(here, agent(here, "helper"), done.task, OTHER_KEY).issued.text)
    assert again["act"] == found["act"]
    here.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="done")
    refused("task-ended", lambda: here.verify(done.issued.text, shown=OTHER_KEY))


def test_a151_a_token_that_was_shown_to_a_resource_is_handed_on_by_nobody(here: TokenWorld) -> None:
    task, _ = handed(here)
    shown = here.issue(task).text
    refused(
        "token-audience",
        lambda: exchange(here, agent(here, "helper"), shown, authorization_details=DETAILS),
    )


def test_a151_an_agent_of_somebody_who_is_not_in_charge_is_handed_nothing(here: TokenWorld) -> None:
    _, token = handed(here)
    register_person(here.adapters, "default", "eve", uid=1001, actor=ANN)
    here.world.agents.register(
        "default",
        "thief",
        owner="eve",
        approvers=("eve",),
        monitor="world:1",
        ceiling=scope_of(CEILING),
        actor=replace(ANN, name="eve"),
    )
    refused(
        "not-in-charge",
        lambda: exchange(here, agent(here, "thief"), token, authorization_details=DETAILS),
    )


def test_a151_a_stolen_text_is_worth_nothing_to_another_agent_of_the_same_owner(here: TokenWorld) -> None:
    task, meant = handed(here)
    here.world.add_agent("thief")
    own = here.issue(task, audience=ISSUER).text
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    persons = here.tokens.issue_person_token(order, ANN).text
    bearer = here.issue(task, audience=ISSUER, binding=None, bearer=True).text
    before = started(here)
    for stolen in (meant, own, persons, bearer):
        refused(
            "token-not-meant",
            lambda stolen=stolen: exchange(  # type: ignore[misc]  # bound in the loop
                here, agent(here, "thief"), stolen, OTHER_KEY, authorization_details=DETAILS
            ),
        )
    assert started(here) == before
    assert exchange(here, agent(here, "helper"), meant, OTHER_KEY, authorization_details=DETAILS).task


def test_a_token_is_exchanged_by_an_agent_that_shows_its_very_key(here: TokenWorld) -> None:
    task, _ = handed(here)
    here.world.add_agent("beside")
    own = here.issue(task, audience=ISSUER).text
    assert exchange(here, agent(here, "beside"), own, KEY, authorization_details=DETAILS).task
    same = Binding(kind=BindingKind.MTLS, thumbprint=KEY.thumbprint)
    refused(
        "token-not-meant",
        lambda: exchange(here, agent(here, "beside"), own, same, authorization_details=DETAILS),
    )


def test_a_token_says_whom_it_is_handed_on_to_and_what_comes_of_it_says_nobody(here: TokenWorld) -> None:
    task, _ = handed(here)
    asked = exchange(here, agent(here), task.id, KEY, resource=ISSUER, requested_actor="agent:helper")
    assert claims_in(asked.issued.text)["may_act"] == {"sub": "agent:helper"}
    assert here.world.events("token-issued")[-1]["may_act"] == "agent:helper"
    done = exchange(here, agent(here, "helper"), asked.issued.text, OTHER_KEY, authorization_details=DETAILS)
    assert "may_act" not in claims_in(done.issued.text)
    assert "may_act" not in claims_in(exchange(here, agent(here), asked.issued.text).issued.text)


@pytest.mark.parametrize(
    ("actor", "more"),
    [
        ("agent:coder", {}),
        ("helper", {}),
        ("person:ann", {}),
        ("agent:acme/helper", {}),
        ("agent:Helper", {}),
        ("agent:", {}),
        ("agent:helper", {"resource": API}),
        (
            "agent:helper",
            {
                "requested_token_type": TRANSACTION_TOKEN,
                "resource": "",
                "audience": "corp.example",
                "request_details": '{"action":"act_x"}',
            },
        ),
    ],
)
def test_a_token_is_handed_on_to_another_agent_by_its_name_for_our_issuer_or_is_not_issued(
    here: TokenWorld, actor: str, more: dict[str, str]
) -> None:
    task = here.settle_in()
    asked = {"resource": ISSUER, "requested_actor": actor} | more
    refused("bad-actor", lambda: exchange(here, agent(here), task.id, **asked))
    assert here.rows() == ()


def test_i42_a151_a_binding_is_kept_as_firm_and_a_bearer_token_is_bound_from_then_on(
    here: TokenWorld,
) -> None:
    task, _ = handed(here)
    firm = here.issue(task, audience=ISSUER, binding=MTLS, may_act="agent:helper").text
    refused("weaker-binding", lambda: exchange(here, agent(here), firm, KEY))
    refused(
        "weaker-binding",
        lambda: exchange(here, agent(here, "helper"), firm, KEY, authorization_details=DETAILS),
    )
    bearer = here.issue(task, audience=ISSUER, binding=None, bearer=True).text
    assert exchange(here, agent(here), bearer).issued.token.binding == KEY


def test_a151_a_wider_child_and_one_without_a_template_are_refused(here: TokenWorld) -> None:
    _, token = handed(here)
    wide: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any"}]}
    save(here, "wide", wide)
    helper = agent(here, "helper")
    for details, code in (
        (DETAILS.replace("pay", "wide"), "outside-parent"),
        (DETAILS.replace("pay", "none"), "bad-task"),
        ("", "bad-details"),
        (DETAILS.replace("}", ', "seconds": 7200}'), "longer-than-parent"),
    ):
        refused(
            code,
            lambda details=details: exchange(here, helper, token, authorization_details=details),  # type: ignore[misc]  # bound in the loop
            "invalid_authorization_details",
        )
    assert len(here.world.events("task-started")) == 1


def test_a151_who_asks_for_another_task_gets_no_token_of_its_own(here: TokenWorld) -> None:
    task, token = handed(here)
    for subject in (task.id, token):
        refused(
            "bad-details",
            lambda subject=subject: exchange(here, agent(here), subject, authorization_details=DETAILS),  # type: ignore[misc]  # bound in the loop
            "invalid_authorization_details",
        )
        assert exchange(here, agent(here), subject).task == task.id


def test_a151_a_chain_goes_in_no_circle(here: TokenWorld) -> None:
    _, token = handed(here)
    back = {"authorization_details": DETAILS, "resource": ISSUER, "requested_actor": "agent:coder"}
    done = exchange(here, agent(here, "helper"), token, OTHER_KEY, **back)
    refused(
        "actor-chain", lambda: exchange(here, agent(here), done.issued.text, authorization_details=DETAILS)
    )


@pytest.mark.parametrize("how", ["revoked", "ended", "expired", "key"])
def test_a151_a_subject_that_is_worth_nothing_gives_nothing(here: TokenWorld, how: str) -> None:
    task, token = handed(here)
    code = "token-revoked"
    if how == "revoked":
        here.verification.revoke(token, client="agent:coder", actor=ANN)
    elif how == "ended":
        here.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="done")
        code = "task-ended"
    elif how == "expired":
        here.world.clock.advance(301)
        code = "token-expired"
    else:
        here.keys.revoke(here.kid(TokenKeyState.CURRENT), ANN, why="lost")
        code = "token-key-revoked"
    for name in ("coder", "helper"):
        refused(
            code,
            lambda name=name: exchange(here, agent(here, name), token, authorization_details=DETAILS),  # type: ignore[misc]  # bound in the loop
        )


def test_a_persons_token_starts_a_task_of_a_template_in_their_name(here: TokenWorld) -> None:
    handed(here)
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    token = here.tokens.issue_person_token(order, ANN).text
    done = exchange(here, agent(here), token, authorization_details=DETAILS)
    found = claims_in(done.issued.text)
    assert (found["sub"], found["act"]) == ("person:ann", {"sub": "agent:coder"})
    started = here.world.events("task-started")[-1]
    assert (started["by"], started["template"], started["purpose"]) == ("ann", "pay", "the rest")
    refused("bad-details", lambda: exchange(here, agent(here), token), "invalid_authorization_details")


def test_an_action_of_the_agents_task_gets_a_transaction_token(here: TokenWorld) -> None:
    task, token = handed(here)
    action = id_of(here.world.ask(task, connection="net_1"))
    more = {
        "requested_token_type": TRANSACTION_TOKEN,
        "resource": "",
        "audience": "corp.example",
        "scope": "bank__pay",
        "request_details": json.dumps({"action": action}),
    }
    for subject in (task.id, token):
        done = exchange(here, agent(here), subject, KEY, **more)
        assert (done.kind, done.token_type, done.scope) == (TRANSACTION_TOKEN, "N_A", "bank__pay")
        claims = claims_in(done.issued.text)
        assert (claims["txn"], claims["cnf"]) == (action, {"jkt": KEY.thumbprint})
    certified = exchange(here, agent(here), token, MTLS, **more)
    assert claims_in(certified.issued.text)["cnf"] == {"x5t#S256": MTLS.thumbprint}
    firm = here.issue(task, audience=ISSUER, binding=MTLS).text
    refused("weaker-binding", lambda: exchange(here, agent(here), firm, KEY, **more))
    refused("action-not-open", lambda: exchange(here, agent(here, "helper"), token, KEY, **more))
    refused("no-task", lambda: exchange(here, agent(here, "helper"), task.id, KEY, **more))
    for changed, code, oauth in (
        ({"scope": "bank__look"}, "bad-scope", "invalid_scope"),
        ({"scope": ""}, "bad-scope", "invalid_scope"),
        ({"audience": "other.example"}, "unknown-target", "invalid_target"),
        ({"request_details": '{"action":"act_x"}'}, "action-not-open", "invalid_request"),
        ({"request_details": ""}, "bad-exchange", "invalid_request"),
    ):
        refused(
            code,
            lambda changed=changed: exchange(here, agent(here), task.id, KEY, **(more | changed)),  # type: ignore[misc]  # bound in the loop
            oauth,
        )


def test_law_2_what_a_gateway_carries_out_the_agent_gets_no_token_of(here: TokenWorld) -> None:
    task, token = handed(here)
    action = id_of(here.world.ask(task, connection="con_a"))
    more = {
        "requested_token_type": TRANSACTION_TOKEN,
        "resource": "",
        "audience": "corp.example",
        "scope": "bank__pay",
        "request_details": json.dumps({"action": action}),
    }
    for subject in (task.id, token):
        refused(
            "action-not-open",
            lambda subject=subject: exchange(here, agent(here), subject, KEY, **more),  # type: ignore[misc]  # bound in the loop
        )


def test_a151_a_transaction_token_ends_no_later_than_what_it_is_asked_with(here: TokenWorld) -> None:
    task, _ = handed(here)
    more = {
        "requested_token_type": TRANSACTION_TOKEN,
        "resource": "",
        "audience": "corp.example",
        "scope": "bank__pay",
        "request_details": json.dumps({"action": id_of(here.world.ask(task, connection="net_1"))}),
    }
    short = here.issue(task, audience=ISSUER, life=10)
    done = exchange(here, agent(here), short.text, KEY, **more)
    assert done.issued.token.expires <= short.token.expires
    assert exchange(here, agent(here, life=5), task.id, KEY, **more).life <= 5


def test_only_an_agent_exchanges(here: TokenWorld) -> None:
    task = here.settle_in()
    person = replace(agent(here, "ann"), kind=PrincipalKind.PERSON)
    refused("bad-exchange", lambda: exchange(here, person, task.id))


def house(here: TokenWorld, rule: str) -> None:
    """Put one more rule in force."""
    put_in_force(here.world, f'@id("house:no") {rule};')


def started(here: TokenWorld) -> int:
    return len(here.world.events("task-started"))


ANN_STARTS = (
    'forbid (principal == Taskbound::Person::"default/ann", action == Taskbound::Action::"task:start", '
)


@pytest.mark.parametrize("of", ["coder", "helper"])
def test_i27_a_rule_about_starting_tasks_holds_for_one_that_is_started_by_exchange(
    here: TokenWorld, of: str
) -> None:
    handed(here)
    house(here, f'{ANN_STARTS} resource == Taskbound::Agent::"default/{of}")')
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    token = here.tokens.issue_person_token(order, ANN).text
    if of == "helper":
        refused(
            "operation-forbidden",
            lambda: exchange(here, agent(here, "helper"), token, authorization_details=DETAILS),
            "unauthorized_client",
        )
        assert started(here) == 1
        assert [(verdict.policies, name) for verdict, _, name in here.refused] == [(("house:no",), "helper")]
    else:
        assert exchange(here, agent(here, "helper"), token, authorization_details=DETAILS).task


@pytest.mark.parametrize("to", ["coder", "helper"])
def test_i27_a_rule_about_handing_on_holds_for_what_is_handed_on_by_exchange(
    here: TokenWorld, to: str
) -> None:
    task, token = handed(here)
    when = f'context.to_agent == "{to}" && context.requester == principal'
    head = f'action == Taskbound::Action::"task:delegate", resource == Taskbound::Task::"default/{task.id}"'
    house(here, f"forbid (principal, {head}) when {{ {when} }}")
    if to == "helper":
        refused(
            "operation-forbidden",
            lambda: exchange(here, agent(here, "helper"), token, authorization_details=DETAILS),
            "unauthorized_client",
        )
        assert started(here) == 1
        assert [(verdict.policies, name) for verdict, _, name in here.refused] == [(("house:no",), "helper")]
    else:
        assert exchange(here, agent(here, "helper"), token, authorization_details=DETAILS).task


def test_a151_what_is_refused_a_token_leaves_no_task_behind(here: TokenWorld) -> None:
    task, token = handed(here)
    back = {"authorization_details": DETAILS, "resource": ISSUER, "requested_actor": "agent:coder"}
    done = exchange(here, agent(here, "helper"), token, OTHER_KEY, **back)
    refused(
        "actor-chain", lambda: exchange(here, agent(here), done.issued.text, authorization_details=DETAILS)
    )
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    persons = here.tokens.issue_person_token(order, ANN).text
    refused(
        "bad-token-life",
        lambda: exchange(here, agent(here, "helper", life=0), persons, authorization_details=DETAILS),
    )
    with here.adapters.store.read() as snapshot:
        running = {one.id for one in snapshot.tasks.tasks("default") if one.state is TaskState.RUNNING}
    assert running == {task.id, done.task}


def test_no_repr_has_the_text_of_a_token(here: TokenWorld) -> None:
    task, token = handed(here)
    done = exchange(here, agent(here), task.id)
    assert done.issued.text not in repr(done)
    plain = {"grant_type": GRANT, "subject_token": token, "subject_token_type": ACCESS_TOKEN, "resource": API}
    assert token not in repr(parse_exchange({name: [value] for name, value in plain.items()}))
    for one in (Assertion(agent="coder", token=token), Asserted(token=token), SignedToken(text=token)):
        assert token not in repr(one)
