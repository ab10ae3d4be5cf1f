from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from taskbound import __version__
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.identity.proof import (
    Binding,
    BindingKind,
    Principal,
    PrincipalKind,
    TokenProof,
    answered_of,
)
from taskbound.core.task import Task, TaskState
from taskbound.flows.identity.services import begin_answer
from taskbound.flows.token import revoke_token
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.api.auth.network import NEAR
from taskbound.wire.connection import Fault, Open, ShowProof
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.network import Shown
from taskbound.wire.routes import LEFT_OUT
from taskbound.wire.task import EndTask, RegisterRun
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.holding import STRANGER, Holding, binding, held
from tests.token_world import ISSUER, claims_in
from tests.world import ANN


def running(one: Holding) -> str:
    return the_task(one).id


def the_task(one: Holding) -> Task:
    with one.world.adapters.store.read() as snapshot:
        (task,) = [each for each in snapshot.tasks.tasks("default") if each.state is TaskState.RUNNING]
    return task


def log(one: Holding) -> str:
    return json.dumps(one.world.records())


def test_a_person_with_a_token_and_its_key_does_what_they_may(one: Holding) -> None:
    token, task = one.person(), running(one)
    listed = one.ask("GET", "/v1/tasks?limit=5", token)
    assert (listed.status, [row["task"] for row in listed.json["rows"]]) == (200, [task])
    assert one.ask("GET", f"/v1/tasks/{task}", token).json["row"]["requester"] == "ann"
    assert one.ask("HEAD", f"/v1/tasks/{task}", token).body == b""
    assert one.ask("GET", "/v1/tasks/tsk_none", token).status == 404
    assert one.ask("POST", f"/v1/tasks/{task}/pause", token, b'{"reason":"lunch"}').status == 200
    assert one.ask("GET", f"/v1/tasks/{task}", token).json["row"]["state"] == "paused"
    jti = claims_in(token)["jti"]
    assert jti in log(one)
    assert token not in log(one)
    assert token not in one.there.process.words


CLAIMS = [
    ({"htm": "POST"}, "dpop-method"),
    ({"htu": f"{ISSUER}/v1/agents"}, "dpop-uri"),
    ({"htu": "https://evil.example/v1/tasks"}, "dpop-uri"),
    ({"ath": "A" * 43}, "dpop-token"),
    ({"ath": ...}, "dpop-token"),
    ({"signer": STRANGER}, "dpop-key"),
    ({"header": {"alg": "none"}}, "token-algorithm"),
    ({"header": {"typ": "at+jwt"}}, "token-kind"),
]


@pytest.mark.parametrize(("claims", "code"), CLAIMS)
def test_g8_a_proof_of_another_request_key_or_token_proves_nobody(
    one: Holding, claims: dict[str, object], code: str
) -> None:
    answer = one.say("GET", "/v1/tasks", **one.shown("GET", "/v1/tasks", one.person(), **claims))
    assert (answer.status, answer.code) == (401, code)
    assert 'error="invalid_' in answer.headers["www-authenticate"]


def test_g8_what_was_shown_once_is_not_shown_again_and_the_clock_is_ours(one: Holding) -> None:
    token = one.person()
    shown = one.shown("GET", "/v1/tasks", token)
    assert one.say("GET", "/v1/tasks", **shown).status == 200
    again = one.say("GET", "/v1/tasks", **shown)
    assert (again.status, again.code) == (401, "replayed")
    now = one.world.clock.now() // 1_000_000
    for early in (now - 62, now + 32):
        answer = one.say("GET", "/v1/tasks", **one.shown("GET", "/v1/tasks", token, iat=early))
        assert (answer.status, answer.code) == (401, "dpop-window")
    # A proof that came with a token which does not hold was not used by that.
    bad = one.shown("GET", "/v1/tasks", token, jti="later")
    assert one.say("GET", "/v1/tasks", **{**bad, "Authorization": f"DPoP {token[:-2]}AA"}).status == 401
    assert one.say("GET", "/v1/tasks", **bad).status == 200


def test_a139_a_token_counts_in_one_authorization_and_nowhere_else(one: Holding) -> None:
    token = one.person()

    def ask(target: str, **changes: str) -> tuple[int, str]:
        shown = one.shown("GET", target, token)
        answer = one.say("GET", target, **{**shown, **changes})
        return answer.status, answer.code

    assert ask("/v1/status")[0] == 200
    assert ask(f"/v1/status?access_token={token}", Authorization="") == (401, "no-proof")
    assert ask(f"/v1/status?access_token={token}") == (400, "bad-query")
    assert ask("/v1/status", Authorization="", Cookie=f"access_token={token}") == (401, "no-proof")
    assert ask("/v1/status", Cookie=f"access_token={token}")[0] == 200  # which is not looked at
    twice = f"DPoP {token}\r\nAuthorization: DPoP {token}"
    assert ask("/v1/status", Authorization=twice) == (400, "bad-http")
    assert ask("/v1/status", Authorization=f"DPoP {token}, DPoP {token}") == (401, "bad-proof")
    assert token not in one.there.process.words


def test_a_bound_token_is_nobodys_without_its_key_and_never_a_bearer(one: Holding) -> None:
    token = one.person()
    shown = one.shown("GET", "/v1/tasks", token)
    bare = one.say("GET", "/v1/tasks", Authorization=f"Bearer {token}")
    assert (bare.status, bare.code) == (401, "token-unbound")
    both = one.say("GET", "/v1/tasks", Authorization=f"Bearer {token}", DPoP=shown["DPoP"])
    assert (both.status, both.code) == (401, "bad-proof")
    without = one.say("GET", "/v1/tasks", Authorization=f"DPoP {token}")
    assert (without.status, without.code) == (401, "dpop-count")
    basic = one.say("GET", "/v1/tasks", Authorization=f"Basic {token}")
    assert (basic.status, basic.code) == (401, "bad-proof")
    # A139: nowhere else.
    assert one.say("GET", f"/v1/tasks?access_token={token}", DPoP=shown["DPoP"]).code == "no-proof"
    assert one.say("GET", "/v1/tasks", Cookie=f"token={token}", DPoP=shown["DPoP"]).code == "no-proof"


def test_a_token_of_another_audience_or_a_task_reads_no_operations(one: Holding) -> None:
    elsewhere = one.person(audience="https://other.example")
    assert one.ask("GET", "/v1/tasks", elsewhere).status == 401
    task = the_task(one)
    token = one.tokens.issue(task, audience=ISSUER, binding=binding()).text
    for verb, target in (("GET", "/v1/tasks"), ("POST", f"/v1/tasks/{task.id}/end")):
        answer = one.ask(verb, target, token)
        assert answer.status == 403, answer.json
    assert one.ask("GET", "/v1/tasks", one.person()).status == 200
    assert running(one) == task.id


def test_a_token_ends_when_it_is_revoked_and_when_its_person_leaves(one: Holding) -> None:
    token, other = one.person(), one.person()
    adapters = one.world.adapters
    revoke_token(adapters, "default", claims_in(token)["jti"], ANN, owns=False, why="lost")
    answer = one.ask("GET", "/v1/tasks", token)
    assert (answer.status, answer.code) == (401, "token-revoked")
    assert one.ask("GET", "/v1/tasks", other).status == 200

    assert one.ask("POST", "/v1/persons/ann/leave", other, b'{"reason":"moves"}').status == 200
    assert one.ask("GET", "/v1/tasks", other).status == 401


def test_a_rule_of_the_organization_refuses_and_says_that_the_token_does_not_reach_so_far(
    tmp_path: Path,
) -> None:
    rule = (
        '@id("house:no") forbid (principal is Taskbound::Person, '
        'action == Taskbound::Action::"task:pause", resource);'
    )

    with held(tmp_path, policy=base_bundle() + rule) as one:
        token, task = one.person(), running(one)
        answer = one.ask("POST", f"/v1/tasks/{task}/pause", token, b"{}")
        assert (answer.status, answer.code) == (403, "operation-forbidden")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        assert "token:" in log(one)
        assert one.ask("GET", "/v1/tasks", token).status == 200


def test_a_token_that_is_bound_to_a_certificate_is_shown_with_it(tmp_path: Path) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    own = servers.issue(tmp_path, "own", name="localhost")
    caller, other = (clients.issue(tmp_path, name, name=name) for name in ("caller", "other"))
    roots = clients.write(tmp_path / "clients.pem")
    thumbprint = encode_base64url(sha256(caller.der).digest())

    flags = ("--certificate", str(own.chain), "--key", str(own.key), "--client-roots", str(roots))
    with held(tmp_path, *flags) as one:
        token = one.person(binding=Binding(kind=BindingKind.MTLS, thumbprint=thumbprint))
        for certificate, status in ((caller, 200), (other, 401), (None, 401)):
            one.there.tls = client_context(servers, certificate)
            answer = one.say("GET", "/v1/tasks", Authorization=f"Bearer {token}")
            assert answer.status == status
        one.there.tls = client_context(servers, caller)
        shown = one.shown("GET", "/v1/tasks", token)
        assert one.say("GET", "/v1/tasks", **shown).status == 401


def test_what_is_of_this_machine_is_not_asked_over_the_network_whatever_is_shown(one: Holding) -> None:
    task = running(one)

    async def ask() -> list[object]:
        hello = Open(role="api", version=__version__)
        client, _ = await AsyncClient.connect(one.place.path, hello, pushed=lambda _: None, lost=lambda: None)
        found: list[object] = []
        for asked in (
            RegisterRun(task=task),
            ShowProof(agent="coder", shown=Shown(method="GET", uri="")),
            EndTask(task=task),
        ):
            token = one.person()
            headers = one.shown("POST", "/v1/x", token)
            shown = Shown(
                method="POST",
                uri=f"{ISSUER}/v1/x",
                authorization=headers["Authorization"],
                dpop=headers["DPoP"],
            )
            found.append(await client.ask_any(asked, shown=shown))
        client.close()
        return found

    run, show, end = asyncio.run(ask())
    assert isinstance(run, Fault)
    assert isinstance(show, Fault)
    assert (run.code, show.code) == ("unproven", "unproven")
    assert not isinstance(end, Fault)


def test_a_proof_of_no_record_is_refused_and_is_no_trouble_of_ours(one: Holding) -> None:
    for target in ("/v1/audit/proof", "/v1/audit/proof?index=-1"):
        answer = one.ask("GET", target, one.person())
        assert (answer.status, answer.code) == (400, "bad-filter")


def test_what_has_no_route_is_what_the_daemon_takes_from_no_network() -> None:
    assert set(LEFT_OUT) == NEAR


def test_a_request_that_is_sent_again_with_its_key_is_done_once(tmp_path: Path) -> None:
    order = {
        "agent": "coder",
        "purpose": "once",
        "seconds": 60,
        "scope": {"grants": [{"tool": "bank__look", "others": "any"}]},
    }
    body = json.dumps(order).encode()

    with held(tmp_path) as one:
        token = one.person()
        first = one.ask("POST", "/v1/tasks", token, body, Idempotency_Key="k1")
        assert first.status == 200, first.json
        again = one.ask("POST", "/v1/tasks", one.person(), body, Idempotency_Key="k1")
        assert (again.status, again.body) == (200, first.body)
        other = one.ask("POST", "/v1/tasks", token, body.replace(b"once", b"more"), Idempotency_Key="k1")
        assert (other.status, other.code) == (422, "key-reused")
        fresh = one.ask("POST", "/v1/tasks", token, body, Idempotency_Key="k2")
        assert fresh.json["row"]["task"] != first.json["row"]["task"]
        assert one.ask("POST", "/v1/tasks", token, body, Idempotency_Key="a b").code == "bad-request-key"
        # A refusal frees the key: another try is a new decision.
        path = f"/v1/tasks/{fresh.json['row']['task']}"
        assert one.ask("POST", f"{path}/resume", token, b"{}", Idempotency_Key="k3").status == 403
        assert one.ask("POST", f"{path}/pause", token, b"{}").status == 200
        assert one.ask("POST", f"{path}/resume", token, b"{}", Idempotency_Key="k3").status == 200


def test_a_request_of_which_nobody_knows_what_became_is_not_done_again(one: Holding) -> None:
    token, task = one.person(), running(one)
    adapters = one.world.adapters
    ann = Principal(
        kind=PrincipalKind.PERSON,
        namespace="default",
        name="ann",
        proof=TokenProof(token="t", binding=None),
    )
    ask = msgspec.json.encode(EndTask(task=task))
    begin_answer(adapters, answered_of(ann, "lost", ask, now=adapters.clock.now()))
    answer = one.ask("POST", f"/v1/tasks/{task}/end", token, b"{}", Idempotency_Key="lost")
    assert (answer.status, answer.code) == (409, "answer-unknown")
    assert running(one) == task


def test_a_token_that_ends_while_its_request_waits_does_nothing_any_more(one: Holding) -> None:
    token, task = one.person(), running(one)
    authority, adapters = one.place.daemon.authority, one.world.adapters
    first = authority.authorize

    async def late(principal: Principal, operation: str, message: object) -> None:
        await first(principal, operation, message)
        revoke_token(adapters, "default", str(claims_in(token)["jti"]), ANN, owns=True, why="stolen")

    authority.authorize = late  # type: ignore[method-assign]  # in between
    answer = one.ask("POST", f"/v1/tasks/{task}/pause", token, b'{"reason":"lunch"}')
    assert (answer.status, answer.code) == (403, "token-revoked")
    assert running(one) == task
