from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.errors import DeniedError
from taskbound.core.identity.proof import (
    Binding,
    BindingKind,
    Principal,
    PrincipalKind,
    TokenProof,
    WorkloadKind,
    WorkloadProof,
)
from taskbound.core.identity.service import UnknownServiceKeyError, parse_service
from taskbound.core.token import TokenForm, UnboundTokenError
from taskbound.flows.identity import register_person
from taskbound.flows.identity.services import add_service, add_service_key, remove_service_key
from taskbound.flows.means import Actor
from taskbound.flows.revocation import stop
from taskbound.flows.token.revoking import revoke_token
from taskbound.flows.token.services import give_service_token, introspect_for_service
from tests.token_world import ISSUER, KEY, OTHER_KEY, TokenWorld, claims_in
from tests.tokens import es256
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.flows.token.issuing import Issued
    from taskbound.ports.store import Store

SPACE = "default"
FIRST, SECOND = es256("first", seed=31), es256("second", seed=32)


class Served:
    """A service with two keys beside an agent whose task runs."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.tokens = TokenWorld(store, folder)
        self.adapters = self.tokens.adapters
        self.task = self.tokens.settle_in()
        service = parse_service(
            SPACE,
            "payments",
            owner="ann",
            audience="https://pay.example",
            tools=("git__*",),
            added=self.tokens.world.clock.now(),
        )
        add_service(self.adapters, service, ours=(ISSUER,), actor=ANN, owns=True)
        self.kid, self.next = (
            add_service_key(
                self.adapters, SPACE, "payments", json.dumps(one.members).encode(), actor=ANN, owns=True
            ).kid
            for one in (FIRST, SECOND)
        )

    def principal(self, kid: str = "", name: str = "payments", space: str = SPACE) -> Principal:
        proof = WorkloadProof(
            kind=WorkloadKind.KEY, issuer="", subject=kid or self.kid, until=self.tokens.world.clock.now()
        )
        return Principal(kind=PrincipalKind.SERVICE, namespace=space, name=name, proof=proof)

    def give(self, binding: Binding | None = KEY, kid: str = "", **form: str) -> Issued:
        told = {"grant_type": "client_credentials", **form}
        return give_service_token(self.tokens.tokens, told, self.principal(kid), binding)

    def worth(self, text: str, **who: str) -> dict[str, Any]:
        return introspect_for_service(self.adapters, self.tokens.verification, self.principal(**who), text)


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Iterator[Served]:
    one = Served(store, tmp_path)
    yield one
    one.tokens.close()


def test_a_services_token_is_a_row_with_the_key_that_proved_it_and_says_nothing_of_a_task(
    there: Served,
) -> None:
    issued = there.give()
    row = there.tokens.row(issued.token)
    assert (row.form, row.subject, row.proven_by) == (TokenForm.SERVICE, "service:payments", there.kid)
    assert (row.actors, row.agent, row.task, row.audience) == ((), "", "", ISSUER)
    verified = there.tokens.verify(issued.text, audience=ISSUER)
    principal = verified.principal
    assert (principal.kind, principal.name) == (PrincipalKind.SERVICE, "payments")
    assert isinstance(principal.proof, TokenProof)
    assert not principal.is_process
    (record,) = [one for one in there.tokens.world.events("token-issued") if one["form"] == "service"]
    assert (record["proven_by"], record["by"], record["task"]) == (there.kid, "service:payments", "")
    claims = claims_in(issued.text)
    assert (claims["scope"], claims["proven_by"]) == ("service", there.kid)


def test_it_is_bound_and_good_at_our_issuer_alone(there: Served) -> None:
    with pytest.raises(UnboundTokenError):
        there.give(None)
    issued = there.give(Binding(kind=BindingKind.MTLS, thumbprint="c" * 43))
    with pytest.raises(DeniedError):
        there.tokens.verify(issued.text, audience=ISSUER, shown=KEY)
    plain = there.give().text
    for changes in ({"shown": OTHER_KEY}, {"shown": None}, {"audience": "https://pay.example"}):
        with pytest.raises(DeniedError):
            there.tokens.verify(plain, **{"audience": ISSUER, **changes})


def test_a_token_ends_with_the_key_that_proved_it_and_not_with_another_one(there: Served) -> None:
    first, second = there.give(), there.give(kid=there.next)
    remove_service_key(there.adapters, SPACE, "payments", there.kid, actor=ANN, owns=False)
    with pytest.raises(UnknownServiceKeyError):
        there.tokens.verify(first.text, audience=ISSUER)
    assert there.tokens.verify(second.text, audience=ISSUER).token.id == second.token.id
    with pytest.raises(UnknownServiceKeyError):
        there.give()
    with pytest.raises(UnknownServiceKeyError):
        there.worth(second.text)


def test_a_key_that_is_removed_before_the_signer_looks_leaves_no_token(there: Served) -> None:
    def remove() -> None:
        remove_service_key(there.adapters, SPACE, "payments", there.kid, actor=ANN, owns=False)

    there.tokens.signer.before = remove
    with pytest.raises(UnknownServiceKeyError):
        there.give()
    (row,) = [one for one in there.tokens.rows() if one.form is TokenForm.SERVICE]
    assert (row.unsigned, bool(row.revoked)) == (True, True)


def test_its_owner_revokes_it_and_nobody_else_but_who_owns_all(there: Served) -> None:
    issued = there.give()
    eve = Actor(name="eve", proof="x")
    with pytest.raises(DeniedError):
        revoke_token(there.adapters, SPACE, issued.token.id, eve, owns=False, why="x")
    assert there.tokens.verify(issued.text, audience=ISSUER).token.id == issued.token.id
    revoke_token(there.adapters, SPACE, issued.token.id, ANN, owns=False, why="x")
    with pytest.raises(DeniedError):
        there.tokens.verify(issued.text, audience=ISSUER)


def test_a_stop_leaves_services_what_they_hear_it_by(there: Served) -> None:
    issued = there.give()
    task = there.tokens.issue(there.task, audience="https://pay.example")
    assert there.worth(task.text)["active"] is True
    stop(there.adapters, SPACE, stopped=True, reason="x", actor=ANN)
    assert there.tokens.verify(issued.text, audience=ISSUER).token.id == issued.token.id
    assert there.give().token.form is TokenForm.SERVICE
    assert there.worth(task.text) == {"active": False}


def test_what_a_token_is_worth_is_told_to_whom_it_is_meant_for_while_it_stands(there: Served) -> None:
    task = there.tokens.issue(there.task, audience="https://pay.example")
    found = there.worth(task.text)
    assert found == {**claims_in(task.text), "active": True, "token_type": "DPoP"}
    elsewhere = there.tokens.issue(there.task, audience="https://pay.example/")
    assert there.worth(elsewhere.text) == {"active": False}
    revoke_token(there.adapters, SPACE, task.token.id, ANN, owns=True, why="x")
    assert there.worth(task.text) == {"active": False}


def test_a_service_of_another_namespace_is_told_of_no_token_of_this_one(there: Served) -> None:
    task = there.tokens.issue(there.task, audience="https://pay.example")
    register_person(there.adapters, "acme", "ann", uid=1000, actor=ANN)
    service = parse_service(
        "acme",
        "payments",
        owner="ann",
        audience="https://pay.example",
        tools=("git__*",),
        added=there.tokens.world.clock.now(),
    )
    add_service(there.adapters, service, ours=(ISSUER,), actor=ANN, owns=True)
    raw = json.dumps(FIRST.members).encode()
    add_service_key(there.adapters, "acme", "payments", raw, actor=ANN, owns=True)
    assert there.worth(task.text, space="acme") == {"active": False}
    assert there.worth(task.text)["active"] is True
