from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import (
    NEVER,
    ActionTokenFacts,
    Ground,
    PersonTokenFacts,
    ServiceTokenFacts,
    TaskTokenFacts,
    Token,
    TokenAlteredError,
    TokenEndedError,
    TokenForm,
    TokenRevokedError,
    TokenState,
    claims_digest,
    claims_of,
    name_of,
    require_standing,
    state_of,
)

SECOND = 1_000_000
NOW = Instant(1_800_000_000 * SECOND)
TASK = Token(
    namespace="default",
    id="tok_1",
    form=TokenForm.TASK,
    issuer="https://as.example",
    subject="person:ann",
    actors=("agent:helper", "agent:coder"),
    audience="https://api.example/",
    binding=Binding(kind=BindingKind.DPOP, thumbprint="t" * 43),
    issued=NOW,
    expires=Instant(NOW + 300 * SECOND),
    key="k1",
    task="tsk_2",
    agent="helper",
    list=7,
    index=4711,
)
GROUND = TaskTokenFacts(scope="s" * 64, deadline=Instant(NOW + 3600 * SECOND))
PERSON = replace(
    TASK, form=TokenForm.PERSON, actors=(), agent="", task="", acr="mfa", authenticated=Instant(NOW - SECOND)
)
TXN = replace(TASK, form=TokenForm.TRANSACTION, action="act_9", binding=None, content="sha-256=:AA==:")
ACT = ActionTokenFacts(
    tool="bank__pay",
    server="d" * 64,
    digest="e" * 64,
    definition="f" * 64,
    approval="apr_1",
    approvers=("bob",),
    ancestors=("tsk_1",),
    admission="adm_1",
)


def said(token: Token, ground: Ground) -> dict[str, Any]:
    found: dict[str, Any] = claims_of(token, ground)
    return found


def test_a_task_token_is_an_access_token_that_says_task_scope_actors_and_key() -> None:
    assert said(TASK, GROUND) == {
        "iss": "https://as.example",
        "sub": "person:ann",
        "aud": "https://api.example/",
        "client_id": "agent:helper",
        "act": {"sub": "agent:helper", "act": {"sub": "agent:coder"}},
        "jti": "tok_1",
        "iat": 1_800_000_000,
        "exp": 1_800_000_300,
        "cnf": {"jkt": "t" * 43},
        "task": "tsk_2",
        "namespace": "default",
        "scope": "task",
        "authorization_details": [
            {
                "type": "taskbound_task",
                "identifier": "tsk_2",
                "locations": ["https://api.example/"],
                "scope": "s" * 64,
                "deadline": 1_800_003_600,
            }
        ],
        "status": {"status_list": {"idx": 4711, "uri": "https://as.example/oauth/status/7"}},
    }


def test_a_persons_token_has_no_task_and_nobody_who_acts() -> None:
    found = said(PERSON, PersonTokenFacts())
    assert "task" not in found
    assert "act" not in found
    assert (found["scope"], found["client_id"], found["acr"]) == ("operations", "person:ann", "mfa")
    assert found["auth_time"] == 1_799_999_999
    silent = said(replace(PERSON, acr="", authenticated=NEVER, binding=None), PersonTokenFacts())
    assert {"acr", "auth_time", "cnf"} & silent.keys() == set()


def test_a_transaction_token_says_what_was_permitted_and_is_no_access_token() -> None:
    found = said(TXN, ACT)
    assert {"client_id", "cnf", "status", "authorization_details"} & found.keys() == set()
    assert (found["txn"], found["scope"], found["req_wl"]) == ("act_9", "bank__pay", "agent:helper")
    assert found["tctx"] == {
        "namespace": "default",
        "task": "tsk_2",
        "action": "act_9",
        "action_digest": "e" * 64,
        "tool": "bank__pay",
        "target": "d" * 64,
        "definition": "f" * 64,
        "content_digest": "sha-256=:AA==:",
        "approval": "apr_1",
        "approver": ["person:bob"],
        "ancestors": ["tsk_1"],
        "admission": "adm_1",
    }
    least = ActionTokenFacts(tool="bank__pay", server="d", digest="e", definition="f")
    plain = said(replace(TXN, content=""), least)
    left = {"content_digest", "approval", "approver", "admission"}
    assert left & plain["tctx"].keys() == set()
    assert plain["tctx"]["ancestors"] == []


@pytest.mark.parametrize(
    ("token", "ground"),
    [(TASK, ACT), (TASK, PersonTokenFacts()), (PERSON, GROUND), (TXN, GROUND), (PERSON, ACT)],
)
def test_a_token_of_one_form_speaks_of_nothing_else(token: Token, ground: Ground) -> None:
    with pytest.raises(TokenAlteredError):
        claims_of(token, ground)


def test_names_are_unique_among_all_namespaces() -> None:
    assert name_of("person", "default", "ann") == "person:ann"
    assert name_of("person", "acme", "ann") == "person:acme/ann"


CHANGED: dict[str, object] = {
    "namespace": "acme",
    "id": "tok_2",
    "issuer": "https://other.example",
    "subject": "person:eve",
    "actors": ("agent:eve",),
    "audience": "https://other.example/",
    "binding": Binding(kind=BindingKind.MTLS, thumbprint="t" * 43),
    "issued": Instant(NOW - SECOND),
    "expires": Instant(NOW + 299 * SECOND),
    "task": "tsk_3",
    "may_act": "agent:eve",
    "agent": "eve",
    "list": 8,
    "index": 4712,
}
UNSAID = {
    "form",
    "key",
    "parent",
    "proven_by",
    "action",
    "content",
    "acr",
    "authenticated",
    "digest",
    "record",
    "revoked",
    "unsigned",
    "why",
}


@pytest.mark.parametrize("name", [one.name for one in fields(Token)])
def test_a135_every_field_of_a_row_that_its_token_speaks_of_is_in_the_digest(name: str) -> None:
    before = claims_digest(claims_of(TASK, GROUND))
    if name in UNSAID:
        assert name not in CHANGED
        return
    changed: Any = {name: CHANGED[name]}
    assert claims_digest(claims_of(replace(TASK, **changed), GROUND)) != before


@pytest.mark.parametrize("change", [{"proven_by": "other"}, {"subject": "service:ledger"}, {"audience": "x"}])
def test_which_service_and_which_key_of_it_is_in_the_digest_of_a_services_token(
    change: dict[str, Any],
) -> None:
    row = replace(
        TASK, form=TokenForm.SERVICE, actors=(), agent="", task="", subject="service:pay", proven_by="kid"
    )
    claims = claims_of(row, ServiceTokenFacts())
    assert (claims["sub"], claims["service"], claims["proven_by"]) == ("service:pay", "pay", "kid")
    assert (claims["client_id"], claims["scope"]) == ("service:pay", "service")
    assert claims_digest(claims_of(replace(row, **change), ServiceTokenFacts())) != claims_digest(claims)
    for ground in (PersonTokenFacts(), GROUND):
        with pytest.raises(TokenAlteredError):
            claims_of(row, ground)


def test_a_token_ends_once_for_good_and_revocation_is_said_first() -> None:
    late = Instant(TASK.expires)
    require_standing(TASK, Instant(late - 1))
    with pytest.raises(TokenEndedError):
        require_standing(TASK, late)
    revoked = replace(TASK, revoked=NOW, why="its task has ended")
    for when in (NOW, late):
        assert state_of(revoked, when) is TokenState.REVOKED
        with pytest.raises(TokenRevokedError, match="its task has ended"):
            require_standing(revoked, when)
