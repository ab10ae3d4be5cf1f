from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import AnswerKind
from taskbound.core.decision.hold import is_network_holder
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.policy.operation import Allowed
from taskbound.core.policy.operations import OPERATIONS
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.jose.compact import encode_base64url
from tests.peers.holding import Answerers, hold_policy
from tests.surfaces.network.agents import PAY, Acting, acted, refused
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.holding import binding, held
from tests.surfaces.network.test_tokens import the_task
from tests.token_world import ISSUER, claims_in
from tests.world import SCOPE, id_of


def test_what_is_permitted_is_what_was_decided_and_its_outcome_is_told_once(agent: Acting) -> None:
    body = b'{ "arguments" : {"to":"b\\u006fb", "amount": 1.0e1} , "tool":"bank__pay" }'
    answer = agent.ask(body)
    assert answer.status == 200, answer.body
    told = answer.json
    action = told["action"]
    assert b'"arguments":{"amount":10,"to":"bob"}' in answer.body
    kept = agent.kept(action)
    assert (kept.arguments, kept.digest) == (b'{"amount":10,"to":"bob"}', told["digest"])
    assert (kept.task, kept.agent, kept.until) == (agent.task.id, "coder", told["until"])
    assert told["until"] < told["due"]
    assert is_network_holder(kept.connection)
    (decided,) = agent.records("action-decided")
    assert decided["proof"] == f"token:{claims_in(agent.token)['jti']} (dpop)"
    assert agent.follow(action).json["state"] == "permitted"

    done = agent.tell(action, answer={"paid": 10})
    assert done.json == {"is": "outcome-taken", "action": action, "result": "may-leave"}
    assert agent.follow(action).json["state"] == "succeeded"
    assert agent.tell(action, answer={"paid": 10}).status == 200
    refused(agent.tell(action, "failed"), 409, "not-holder")
    refused(agent.tell(action, answer={"paid": 11}), 409, "not-holder")
    (outcome,) = agent.records("action-outcome")
    assert outcome["answer"] == sha256(b'{"paid": 10}').hexdigest()
    assert agent.token not in json.dumps(agent.one.world.records())


def test_a_refusal_says_why_and_takes_nothing(agent: Acting) -> None:
    before = agent.one.world.left(agent.task)
    told = refused(
        agent.ask({"tool": "bank__pay", "arguments": {"to": "eve", "amount": 99}}), 403, "outside-scope"
    )
    assert told["reasons"][0]["text"]
    assert told["advice"].startswith("stay within that")
    assert agent.follow(told["action"]).json["state"] == "refused"
    refused(agent.ask({"tool": "bank__steal", "arguments": {}}), 403, "unknown-tool")
    refused(agent.tell(told["action"]), 409, "not-holder")
    assert agent.one.world.left(agent.task) == before


BAD: list[tuple[bytes, dict[str, str], str]] = [
    (b"", {}, "bad-body"),
    (b"{", {}, "not-json"),
    (b"\xff\xfe", {}, "not-utf8"),
    (b"[1]", {}, "not-an-object"),
    (b'{"tool":"bank__pay"}', {}, "bad-body"),
    (b'{"tool":"bank__pay","arguments":{"to":"bob","to":"eve"}}', {}, "duplicate-key"),
    (b'{"tool":"bank__pay","tool":"bank__look","arguments":{}}', {}, "duplicate-key"),
    (b'{"tool":"bank__pay","arguments":[]}', {}, "not-an-object"),
    (b'{"tool":"bank__pay","arguments":"{}"}', {}, "not-an-object"),
    (b'{"tool":"bank__pay","arguments":{"amount":1e400}}', {}, "not-finite"),
    (b'{"tool":"bank__pay","arguments":{"to":"\\ud800"}}', {}, "lone-surrogate"),
    (b'{"tool":"bank__pay","arguments":{},"op":"action:decide"}', {}, "bad-body"),
    (b'{"tool":"bank__pay","arguments":{},"task":"tsk_other"}', {}, "bad-body"),
    (b'{"tool":"bank__pay","arguments":{},"wait":600}', {}, "bad-body"),
    (b'{"tool":7,"arguments":{}}', {}, "bad-body"),
    (b'{"tool":"","arguments":{}}', {}, "bad-tool-name"),
    (b'{"tool":"' + b"a" * 4000 + b'","arguments":{}}', {}, "bad-tool-name"),
    (b'{"tool":"b\\u0430nk__pay","arguments":{}}', {}, "foreign-character"),
    (b'{"tool":"bank__pay","arguments":{},"content_digest":"sha-256=:x:"}', {}, "bad-content-digest"),
    (b'{"tool":"bank__pay","arguments":{}}', {"Idempotency_Key": "a b"}, "bad-request-key"),
    (b'{"tool":"orders-db__credential/reader","arguments":{}}', {}, "not-a-tool"),
    (b'{"tool":"bank__pay","arguments":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", {}, "too-deep"),
]


def test_each_request_for_an_action_that_can_not_be_read_is_one_named_error_and_one_record(
    agent: Acting,
) -> None:
    found: list[tuple[bytes, str, str]] = []
    for number, (body, headers, code) in enumerate(BAD, start=1):
        answer = agent.ask(body, **headers)
        found += [(body[:60], code, answer.code)] if answer.code != code else []
        assert answer.status == 400, (body, answer.status, answer.code)
        recorded = agent.records("action-refused-malformed")
        assert len(recorded) == number, body
        assert (recorded[-1]["code"], recorded[-1]["task"]) == (answer.code, agent.task.id)
    assert not found, "\n".join(map(str, found))
    assert agent.records("action-decided") == []


def test_who_is_not_proven_leaves_a_record_of_that_alone_and_is_told_nothing_of_the_body(
    agent: Acting,
) -> None:
    before = len(agent.one.world.records())
    for body in (b'{"tool":1', json.dumps(PAY).encode()):
        shown = agent.one.shown("POST", "/v1/actions", agent.token, htm="GET")
        answer = agent.one.there.ask("POST", "/v1/actions", body, Host="as.example", **shown)
        refused(answer, 401, "dpop-method")
    person = agent.one.person()
    answer = agent.one.ask("POST", "/v1/actions", person, json.dumps(PAY).encode())
    refused(answer, 403, "other-token-kind")
    assert agent.one.ask("POST", "/v1/actions", person, b"{").status == 403
    events = [one["event"] for one in agent.one.world.records()[before:]]
    left = [(one["kind"], one["code"]) for one in events if one["kind"] != "token-issued"]
    assert left == [("proof-refused", "dpop-method")] * 2  # and a good token of another kind is none


def test_law_7_the_key_of_a_permit_nobody_heard_of_tells_what_became_of_it_and_permits_nothing(
    agent: Acting,
) -> None:
    send = SocketServer._answer  # noqa: SLF001 - the same

    def lose(self: Any, number: int, answer: Any) -> None:
        if getattr(answer, "action", ""):
            self.connection_lost(None)
            self._transport.abort()
        else:
            send(self, number, answer)

    SocketServer._answer = lose  # type: ignore[method-assign]  # noqa: SLF001 - it dies after the commit
    try:
        lost = agent.ask(Idempotency_Key="k1")
    finally:
        SocketServer._answer = send  # type: ignore[method-assign]  # noqa: SLF001 - it is there again
    assert (lost.status, lost.code) == (503, "daemon-lost")
    told = refused(agent.ask(Idempotency_Key="k1"), 409, "action-repeated")
    assert told["state"] == "permitted"
    assert len([one for one in agent.records("action-decided") if one["decision"] == "permit"]) == 1
    refused(
        agent.ask({**PAY, "arguments": {"to": "bob", "amount": 11}}, Idempotency_Key="k1"),
        422,
        "key-reused",
    )
    left = agent.one.world.left(agent.task)
    assert agent.tell(told["action"], "not-sent").json["result"] == "none"
    assert agent.one.world.left(agent.task) != left
    assert refused(agent.ask(Idempotency_Key="k1"), 409, "action-repeated")["state"] == "not-sent"
    done = agent.ask(Idempotency_Key="k2")
    assert done.status == 200
    assert agent.tell(done.json["action"], answer={"ok": True}).status == 200
    again = refused(agent.ask(Idempotency_Key="k2"), 409, "action-repeated")
    assert (again["state"], again["answer"]) == ("succeeded", {"ok": True})
    # Without a key a plain repeat after success is a new use.
    assert agent.ask().json["action"] != done.json["action"]


def test_a_held_action_says_what_people_are_asked_and_runs_once_when_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    with acted(tmp_path, policy=hold_policy("confirm")) as agent:
        people = Answerers(agent.one.world)
        people.task = agent.task
        answer = agent.ask(Idempotency_Key="k")
        told = refused(answer, 409, "held")
        action = told["action"]
        assert (answer.headers["retry-after"], answer.headers["location"]) == (
            "5",
            f"/v1/actions/{action}/state",
        )
        assert told["approval"] == people.approval(action).question.id
        assert refused(agent.ask(Idempotency_Key="k"), 409, "held")["action"] == action
        assert refused(agent.ask(), 409, "held")["action"] == action
        assert agent.follow(action).json["approval_state"] == "pending"
        raw = people.statement(action, "ann", AnswerKind.CONFIRM)
        agent.one.world.approvals.answer("default", raw, people.devices["ann"][1].sign(raw))
        assert agent.follow(action).json["approval_state"] == "approved"
        permitted = agent.ask({**PAY, "resume": action}, Idempotency_Key="k")
        assert (permitted.status, permitted.json["action"]) == (200, action)
        refused(agent.ask({**PAY, "resume": action}), 403, "hold-over")
        assert refused(agent.ask(), 409, "held")["action"] != action
        assert agent.tell(action).status == 200


def test_g7_a_token_reaches_the_actions_of_its_own_task_that_were_asked_for_with_one_alone(
    agent: Acting,
) -> None:
    world = agent.one.world
    world.add_agent("helper")
    others = [Acting(agent.one, world.start(scope=SCOPE)), Acting(agent.one, world.start(agent="helper"))]
    action = agent.ask().json["action"]
    for other in others:
        refused(other.tell(action), 409, "not-holder")
        refused(other.follow(action), 404, "unknown-action")
    through = id_of(world.ask(agent.task))  # a gateway's
    refused(agent.tell(through), 409, "not-holder")
    assert agent.follow(through).status == 200
    refused(agent.tell("act_none"), 409, "not-holder")
    # A token of its task is for these operations, and for no other.
    for verb, target in (
        ("GET", f"/v1/actions/{action}"),
        ("GET", "/v1/actions"),
        ("POST", "/v1/revocation/stop"),
    ):
        assert (
            agent.one.ask(verb, target, agent.token, None if verb == "GET" else b'{"stopped":true}').status
            == 403
        )
    assert agent.tell(action).status == 200


def test_a_transaction_token_comes_with_a_permit_that_wants_one_and_its_lack_takes_nothing(
    agent: Acting,
) -> None:
    said = {
        **PAY,
        "token": True,
        "content_digest": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
    }
    without = agent.ask(said)  # the daemon has no signer yet
    assert without.status == 200
    assert without.json["token_refused"] == "signer-unavailable: no token can be signed now"
    agent.one.place.daemon.token.issuing = agent.one.tokens.tokens
    told = agent.ask(said).json
    claims = claims_in(told["token"])
    assert (claims["txn"], claims["tctx"]["action_digest"]) == (told["action"], told["digest"])
    assert claims["cnf"] == claims_in(agent.token)["cnf"] == {"jkt": binding().thumbprint}
    assert claims["tctx"]["content_digest"] == said["content_digest"]
    assert told["token"] not in json.dumps(agent.one.world.records())


def test_that_nothing_was_sent_is_refused_over_http_once_a_transaction_token_was_given(
    agent: Acting,
) -> None:
    agent.one.place.daemon.token.issuing = agent.one.tokens.tokens
    action, twin = agent.ask({**PAY, "token": True}).json["action"], agent.ask().json["action"]
    answer = refused(agent.tell(action, "not-sent"), 403, "token-was-issued")
    assert "`unknown`" in answer["advice"]
    (left,) = agent.records("outcome-refused")
    jti = claims_in(agent.token)["jti"]
    assert (left["action"], left["code"], left["token"]) == (action, "token-was-issued", jti)
    assert agent.tell(twin, "not-sent").json["result"] == "none"
    assert agent.tell(action, "succeeded", answer={"ok": True}).json["result"] == "may-leave"


def test_a_transaction_token_ends_no_later_than_the_token_that_its_action_was_asked_with(
    agent: Acting,
) -> None:
    agent.one.place.daemon.token.issuing = agent.one.tokens.tokens
    agent.token = agent.one.tokens.issue(agent.task, audience=ISSUER, binding=binding(), life=20).text
    told = agent.ask({**PAY, "token": True}).json
    assert claims_in(told["token"])["exp"] == claims_in(agent.token)["exp"]
    assert told["until"] > claims_in(agent.token)["exp"] * 1_000_000


def forbidden(operation: str, when: str = "") -> str:
    head = f'principal is Taskbound::Agent, action == Taskbound::Action::"{operation}", resource'
    return f'@id("house:{operation}") forbid ({head}){when};'


def test_rules_of_the_organization_say_whether_agents_ask_over_a_network_and_gateways_go_on(
    tmp_path: Path,
) -> None:
    afar = ' when { context.proof_kind == "token" }'
    rules = forbidden("action:ask") + forbidden("action:malformed", afar)

    with acted(tmp_path, policy=base_bundle() + rules) as agent:
        daemon = agent.one.place.daemon
        peer = Peer(proof=PeerProof(uid=1000, pid=1, started=1), ancestry=())
        near = Connection(
            name="con_a", role="gateway", namespace="default", agent="coder", peer=peer, push=lambda _: None
        )
        # What is remembered of its gateway is not said to the same agent from afar.
        assert isinstance(daemon.authority.standing(near, OPERATIONS["action:malformed"]), Allowed)
        refused(agent.ask(b"{"), 403, "operation-forbidden")
        refused(agent.ask(), 403, "operation-forbidden")
        assert [(one["operation"], one["by"]) for one in agent.records("operation-refused")] == [
            ("action:malformed", "Agent coder"),
            ("action:ask", "Agent coder"),
        ]


def test_an_agent_that_may_ask_for_no_tokens_has_none_with_a_permit(tmp_path: Path) -> None:
    with acted(tmp_path, policy=base_bundle() + forbidden("token:exchange")) as agent:
        agent.one.place.daemon.token.issuing = agent.one.tokens.tokens
        told = agent.ask({**PAY, "token": True}).json
        assert "token" not in told
        assert told["token_refused"].startswith("operation-forbidden")
        assert agent.tell(told["action"]).status == 200


@pytest.mark.parametrize("body", [b'{"outcome":"done"}', b'{"outcome":"failed","answer_sha256":"x"}', b"{}"])
def test_an_outcome_that_is_none_is_refused_and_changes_nothing(agent: Acting, body: bytes) -> None:
    action = agent.ask().json["action"]
    answer = agent.one.ask("POST", f"/v1/actions/{action}/outcome", agent.token, body)
    assert answer.status == 400
    assert agent.kept(action).state.value == "permitted"


def test_a_token_that_is_bound_to_a_certificate_asks_and_tells_with_it_alone(
    tmp_path: Path,
) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    own = servers.issue(tmp_path, "own", name="localhost")
    caller, other = (clients.issue(tmp_path, name, name=name) for name in ("caller", "other"))
    roots = clients.write(tmp_path / "clients.pem")
    bound = Binding(kind=BindingKind.MTLS, thumbprint=encode_base64url(sha256(caller.der).digest()))

    flags = ("--certificate", str(own.chain), "--key", str(own.key), "--client-roots", str(roots))
    with held(tmp_path, *flags) as one:
        token = one.tokens.issue(the_task(one), audience=ISSUER, binding=bound).text
        shown = {"Host": "as.example", "Authorization": f"Bearer {token}"}
        body = json.dumps(PAY).encode()
        one.there.tls = client_context(servers, other)
        refused(one.there.ask("POST", "/v1/actions", body, **shown), 401, "token-unbound")
        one.there.tls = client_context(servers, caller)
        told = one.there.ask("POST", "/v1/actions", body, **shown)
        assert told.status == 200, told.body
        target = f"/v1/actions/{told.json['action']}/outcome"
        assert one.there.ask("POST", target, b'{"outcome":"not-sent"}', **shown).status == 200
        (decided,) = one.world.events("action-decided")
        assert decided["proof"].endswith("(mtls)")
