"""Tokens that clients get: the task's, for one resource, gone with the admission (G8: A146, A149)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.task import TaskEndedError, TaskEvent
from taskbound.core.token import UnboundTokenError
from taskbound.core.token.authorization.asked import Exchange
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    ReusedCodeError,
    ReusedRefreshError,
)
from taskbound.core.token.authorization.request import Renewal
from taskbound.flows.token import ClientTokens, add_client, drop_client
from taskbound.flows.token.issuing import TransactionTokenOrder
from taskbound.flows.token.standing import require_token_stands
from taskbound.ports.signer import SignerUnavailableError
from tests.client_world import CALLBACK, KEY, RESOURCE, SPACE, VERIFIER, Desk, refused
from tests.token_world import TokenWorld, claims_in
from tests.world import ANN, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.flows.token import ClientToken
    from taskbound.ports.store import Store

BOUND = Binding(kind=BindingKind.DPOP, thumbprint=KEY)


class Shop:
    """A desk, and what gives it tokens."""

    def __init__(self, at: TokenWorld) -> None:
        self.at = at
        task = at.settle_in()
        add_client(at.adapters, SPACE, "desk", shown="", redirects=(CALLBACK,), actor=ANN, owns=True)
        self.desk = Desk(at.world, task)
        self.tokens = ClientTokens(at.adapters, at.tokens)

    def by_code(self, code: str, **changes: str) -> ClientToken:
        plain = {"client": "desk", "redirect": CALLBACK, "verifier": VERIFIER}
        return self.tokens.by_code(SPACE, code, Exchange(**plain | changes))

    def by_refresh(self, refresh: str, **changes: Any) -> ClientToken:
        plain: dict[str, Any] = {"client": "desk"}
        return self.tokens.by_refresh(SPACE, refresh, Renewal(**plain | changes))

    def show(self, given: ClientToken, shown: Binding | None = None, audience: str = RESOURCE) -> str:
        found = self.at.verification.verify(given.issued.text, audience=audience, shown=shown)
        return found.token.task


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Iterator[Shop]:
    at = TokenWorld(store, tmp_path)
    yield Shop(at)
    at.close()


def test_a_client_gets_a_token_of_that_task_for_that_resource(shop: Shop) -> None:
    given = shop.by_code(shop.desk.code())
    assert shop.show(given) == shop.desk.task.id
    claims = claims_in(given.issued.text)
    assert (claims["aud"], claims["task"], claims["sub"]) == (RESOURCE, shop.desk.task.id, "person:ann")
    assert "cnf" not in claims
    assert 0 < claims["exp"] - claims["iat"] <= 300
    with pytest.raises(TaskboundError):
        shop.show(given, audience="https://gate.example/mcp/helper")
    for secret in (given.issued.text, given.refresh):
        assert secret not in repr(given)


def test_a_token_of_a_client_with_a_key_is_worth_nothing_without_it(shop: Shop) -> None:
    given = shop.by_code(shop.desk.code(), jkt=KEY)
    assert shop.show(given, BOUND) == shop.desk.task.id
    refused(UnboundTokenError, lambda: shop.show(given))
    after = shop.by_refresh(given.refresh, jkt=KEY)
    assert shop.show(after, BOUND) == shop.desk.task.id
    refused(UnboundTokenError, lambda: shop.show(after))


def test_a_token_ends_no_later_than_the_admission(shop: Shop) -> None:
    given = shop.by_code(shop.desk.code())
    shop.at.world.clock.at = shop.desk.task.deadline - seconds(100)
    after = shop.by_refresh(given.refresh)
    assert after.issued.token.expires <= given.admission.until == shop.desk.task.deadline


def test_a146_a_code_that_comes_twice_takes_back_the_token_that_it_brought(shop: Shop) -> None:
    code = shop.desk.code()
    given = shop.by_code(code)
    shop.show(given)
    refused(ReusedCodeError, lambda: shop.by_code(code))
    refused(AdmissionEndedError, lambda: shop.show(given))


def test_a149_a_refresh_token_that_comes_twice_takes_back_every_token_of_the_admission(shop: Shop) -> None:
    first = shop.by_code(shop.desk.code())
    second = shop.by_refresh(first.refresh)
    shop.show(second)
    refused(ReusedRefreshError, lambda: shop.by_refresh(first.refresh))
    refused(AdmissionEndedError, lambda: shop.show(first))
    refused(AdmissionEndedError, lambda: shop.show(second))


def test_a_client_that_is_removed_or_whose_task_ends_has_no_token_any_more(shop: Shop) -> None:
    one = shop.by_code(shop.desk.code())
    drop_client(shop.at.adapters, SPACE, "desk", actor=ANN, owns=True)
    refused(AdmissionEndedError, lambda: shop.show(one))
    add_client(shop.at.adapters, SPACE, "desk", shown="", redirects=(CALLBACK,), actor=ANN, owns=True)
    refused(AdmissionEndedError, lambda: shop.show(one))
    two = shop.by_code(shop.desk.code())
    shop.at.world.tasks.end(SPACE, shop.desk.task.id, TaskEvent.COMPLETE, ANN, reason="")
    refused(TaskEndedError, lambda: shop.show(two))


def test_what_a_client_does_with_its_token_names_the_admission_and_holds_no_longer_than_that(
    shop: Shop,
) -> None:
    given, task = shop.by_code(shop.desk.code()), shop.desk.task
    action = id_of(shop.at.world.ask(task))
    order = TransactionTokenOrder(
        namespace=SPACE, task=task.id, agent=task.agent, action=action, parent=given.issued.token.id
    )
    issued = shop.at.tokens.issue_transaction_token(order, ANN)
    context = claims_in(issued.text)["tctx"]
    assert (context["admission"], context["ancestors"]) == (given.issued.token.parent, [])
    with shop.at.adapters.store.read() as seen:
        require_token_stands(seen, issued.token, shop.at.adapters.clock.now())
    drop_client(shop.at.adapters, SPACE, "desk", actor=ANN, owns=True)
    with shop.at.adapters.store.read() as seen, pytest.raises(AdmissionEndedError):
        require_token_stands(seen, issued.token, shop.at.adapters.clock.now())


def test_an_admission_that_ends_while_its_token_is_signed_gets_none(shop: Shop) -> None:
    code = shop.desk.code()

    def removed() -> None:
        shop.at.signer.before = lambda: None
        drop_client(shop.at.adapters, SPACE, "desk", actor=ANN, owns=True)

    shop.at.signer.before = removed
    refused(AdmissionEndedError, lambda: shop.by_code(code))
    assert [one.revoked != Instant(0) for one in shop.at.rows()] == [True]


def test_a_signer_that_is_away_uses_no_refresh_token_up(shop: Shop) -> None:
    given = shop.by_code(shop.desk.code())

    def away() -> None:
        raise SignerUnavailableError("it is away")

    shop.at.signer.before = away
    refused(SignerUnavailableError, lambda: shop.by_refresh(given.refresh))
    shop.at.signer.before = lambda: None
    assert shop.show(shop.by_refresh(given.refresh)) == shop.desk.task.id


def test_of_two_that_renew_at_once_neither_has_a_token_that_counts(shop: Shop) -> None:
    given = shop.by_code(shop.desk.code())
    others: list[ClientToken] = []

    def meanwhile() -> None:
        shop.at.signer.before = lambda: None
        others.append(shop.by_refresh(given.refresh))

    shop.at.signer.before = meanwhile
    refused(ReusedRefreshError, lambda: shop.by_refresh(given.refresh))
    refused(AdmissionEndedError, lambda: shop.show(others[0]))
