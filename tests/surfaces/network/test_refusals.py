"""What the rules refuse over the network is recorded once when it would have changed something."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.identity.service import parse_service
from taskbound.core.policy.operation import Right
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.task import Template
from taskbound.core.token.exchange import ACCESS_TOKEN
from taskbound.flows.identity.services import add_service, add_service_key
from taskbound.flows.task.delegate import save_template
from taskbound.flows.token.issuing import ServiceTokenOrder
from taskbound.wire.routes import OAUTH, ROUTES, Route
from tests.client_world import CALLBACK, VERIFIER
from tests.stories.test_token_exchange import DETAILS
from tests.surfaces.api.test_operations import example
from tests.surfaces.network.acting import Acting, acted
from tests.surfaces.network.holding import binding
from tests.surfaces.network.test_tokens import running, the_task
from tests.token_world import ISSUER, claims_in
from tests.tokens import es256
from tests.world import ANN, SCOPE, scope_of

NOTHING = '@id("house:no") forbid (principal, action in Taskbound::Action::"operation", resource);'


def asked(route: Route) -> tuple[str, bytes | None]:
    """A request of this route that says what it has to."""
    message = json.loads(msgspec.json.encode(example(route.message)))
    path = route.path
    for name in route.within_path:
        path = path.replace(f"{{{name}}}", "x")
    rest = {name: one for name, one in message.items() if name not in {"op", *route.within_path}}
    if route.reads:
        told = "&".join(f"{name}={one}" for name, one in rest.items() if one not in ((), []))
        return (f"{path}?{told}" if told else path), None
    return path, msgspec.json.encode(rest)


def refused(act: Acting) -> list[str]:
    return [str(one["operation"]) for one in act.world.events("operation-refused")]


def service_of(act: Acting) -> str:
    """A token of a service's own."""
    adapters, tokens = act.world.adapters, act.one.tokens
    service = parse_service(
        "default",
        "payments",
        owner="ann",
        audience="https://pay.example",
        tools=("git__*",),
        added=adapters.clock.now(),
    )
    add_service(adapters, service, ours=(ISSUER,), actor=ANN, owns=True)
    public = json.dumps(es256("payments", seed=41).members).encode()
    key = add_service_key(adapters, "default", "payments", public, actor=ANN, owns=True)
    order = ServiceTokenOrder(namespace="default", service="payments", proven_by=key.kid, binding=binding())
    return tokens.tokens.issue_service_token(order, ANN).text


def test_each_refused_operation_that_would_change_something_leaves_one_record(tmp_path: Path) -> None:
    with acted(tmp_path, policy=base_bundle() + NOTHING) as act:
        token, task = act.one.person(), running(act.one)
        agents = act.one.tokens.issue(the_task(act.one), audience=ISSUER, binding=binding()).text
        shown = {Right.GATEWAY: agents, Right.SERVICE: service_of(act)}
        for route in ROUTES:
            before, records = len(refused(act)), len(act.world.records())
            target, body = asked(route)
            theirs = shown.get(OPERATIONS[route.operation].right, token)
            answer = act.one.ask(route.verb, target, theirs, body)
            assert (answer.status, answer.code) == (403, "operation-forbidden"), (route, answer.body)
            expected = [route.operation] * OPERATIONS[route.operation].changes
            assert refused(act)[before:] == expected, route
            assert len(act.world.records()) == records + len(expected), route
        forms = {
            "token:exchange": act.form(task),
            "token:give-back": act.proven(token=token),
            "token:introspect": act.proven(token=token),
        }
        browsers, read = {"token:ask", "token:await"}, {"token:jwks", "token:status-list"}
        assert set(OAUTH) == set(forms) | browsers | read
        for operation, form in forms.items():
            before = len(refused(act))
            answer = act.post(OAUTH[operation], form, DPoP=act.dpop(OAUTH[operation]))
            assert (answer.status, answer.json["error"]) == (400, "unauthorized_client"), answer.body
            assert refused(act)[before:] == [operation] * OPERATIONS[operation].changes
        said = act.world.events("operation-refused")
        assert (said[-2]["by"], said[-1]["operation"]) == ("Agent coder", "token:give-back")
        assert act.one.say("GET", f"{OAUTH['token:ask']}?client_id=desk").status == 403
        last = act.world.events("operation-refused")[-1]
        assert (last["operation"], last["by"]) == ("token:ask", "Service api")
        code = {
            "grant_type": "authorization_code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "code": "x",
        }
        assert act.exchange(code).status == 400
        last = act.world.events("operation-refused")[-1]
        assert (last["operation"], last["by"]) == ("token:exchange", "Service api")


@pytest.mark.parametrize("reads", [True, False])
def test_only_what_reads_is_refused_without_a_record(*, reads: bool) -> None:
    for route in ROUTES:
        if route.reads is reads and OPERATIONS[route.operation].changes is reads:
            # What is posted and only reads takes what no query can say.
            assert route.operation in {"audit:compare", "policy:replay", "scope:suggest"}, route


def test_what_is_refused_in_a_persons_name_is_recorded_and_costs_the_agent_that_asked(
    tmp_path: Path,
) -> None:
    rule = '@id("house:no") forbid (principal, action == Taskbound::Action::"task:start", resource);'

    with acted(tmp_path, policy=base_bundle() + rule) as act:
        template = Template(
            namespace="default", name="pay", scope=scope_of(SCOPE), seconds=600, purpose="pay"
        )
        save_template(act.world.adapters, template, ANN)
        token = act.one.person()
        taken: list[str] = []
        refusals = act.one.place.daemon.refusals
        take = refusals.take

        def noted(namespace: str, agent: str) -> None:
            taken.append(agent)
            take(namespace, agent)

        refusals.take = noted  # type: ignore[method-assign]  # listens to who pays
        answer = act.exchange(act.form(token, ACCESS_TOKEN, authorization_details=DETAILS))
        assert (answer.status, answer.json["error"]) == (400, "unauthorized_client"), answer.body
        (told,) = act.world.events("operation-refused")
        assert (told["operation"], told["by"]) == ("task:start", "Person ann")
        assert claims_in(token)["jti"] in told["proof"]
        assert taken == ["coder"]
        assert token not in str(act.world.records())
