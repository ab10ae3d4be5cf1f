"""A service that asks in its own name: what it rests on is looked at once more where the call is decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.flows.decision.tokens import AskingService
from taskbound.flows.identity.services import remove_service
from taskbound.flows.token.issuing import ServiceTokenOrder
from taskbound.flows.token.revoking import revoke_token
from tests.stories.test_services import FIRST, SECOND, There
from tests.world import ANN, CEILING, code_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from tests.token_world import TokenWorld

BOUND = Binding(kind=BindingKind.DPOP, thumbprint="k" * 43)


class Asking:
    """A service that enforces the bank's tools, and an agent that came to it."""

    def __init__(self, here: TokenWorld) -> None:
        self.here, self.world, self.there = here, here.world, There(here.world)
        here.settle_in()
        self.there.add(tools=("bank__*",))
        self.kid = self.there.key(FIRST)
        self.row = self.order(self.kid)
        self.task = self.world.start(scope=CEILING)
        self.shown = here.issue(self.task, audience="https://payments.example").token.id

    def order(self, kid: str, service: str = "payments") -> Any:
        order = ServiceTokenOrder(namespace="default", service=service, proven_by=kid, binding=BOUND)
        return self.here.tokens.issue_service_token(order, ANN).token

    def ask(self, *, tool: str = "bank__pay", task: Task | None = None, **changes: Any) -> str:
        """What is said to one question; the text of a code where it is refused."""
        plain = {"service": "payments", "key": self.kid, "token": self.row.id}
        asked = AskingService(**plain | changes)
        call = replace(self.world.call(task or self.task, tool), token=self.shown, enforcing=asked)
        (answer,) = self.world.decide([call])
        return code_of(answer)


@pytest.fixture
def asking(here: TokenWorld) -> Asking:
    return Asking(here)


def test_a_service_asks_about_what_it_enforces_and_the_record_names_it(asking: Asking) -> None:
    assert asking.ask() == "permit"
    (decided,) = asking.world.events("action-decided")
    assert (decided["service"], decided["agent"], decided["task"]) == (
        "payments",
        "coder",
        asking.task.id,
    )


def remove(one: Asking) -> None:
    remove_service(one.world.adapters, "default", "payments", actor=ANN, owns=True)


def own(one: Asking, token: str) -> None:
    revoke_token(one.world.adapters, "default", token, ANN, owns=True, why="stolen")


ENDS: dict[str, tuple[Callable[[Asking], object], str]] = {
    "the service": (remove, "unknown-service"),
    "its key": (lambda one: one.there.drop(one.kid), "unknown-service-key"),
    "its owner": (lambda one: one.there.leave("ann"), "unanswered-service"),
    "its token": (lambda one: own(one, one.row.id), "token-revoked"),
    "the agent's token": (lambda one: own(one, one.shown), "token-revoked"),
    "what it enforces": (lambda one: one.there.set(tools=("ledger__*",)), "not-enforced"),
}


@pytest.mark.parametrize("what", sorted(ENDS))
@pytest.mark.parametrize("late", [False, True], ids=["before", "behind what was read"])
def test_i24_what_a_service_rests_on_and_ends_first_permits_nothing(
    asking: Asking, what: str, *, late: bool
) -> None:
    end, code = ENDS[what]
    left = asking.world.left(asking.task)
    if late:
        asking.world.meanwhile(lambda: end(asking))
    else:
        end(asking)
    if what == "its owner":  # with whom the agent that they own is suspended, and their tasks end
        assert asking.ask() != "permit"
    else:
        assert asking.ask() == code
    assert asking.world.left(asking.task) == left


def test_an_owner_who_has_left_is_what_a_service_is_refused_for(asking: Asking) -> None:
    asking.there.adapters.store.write(
        lambda tx: tx.services.put_service(replace(_mine(asking), owner="nobody", version=2), expect=1)
    )
    assert asking.ask() == "unanswered-service"


def _mine(asking: Asking) -> Any:
    with asking.world.store.read() as snapshot:
        return snapshot.services.service("default", "payments")


def test_a_token_of_another_service_or_key_is_none_of_the_one_that_asks(asking: Asking) -> None:
    asking.there.add("other", tools=("bank__*",))
    second = asking.there.key(SECOND, "other")
    other = asking.order(second, "other")
    assert asking.ask(token=other.id) == "unknown-token"
    assert asking.ask(service="other", key=second) == "unknown-token"
    assert asking.ask(key=second) == "unknown-token"
    assert asking.ask(token=asking.shown) == "unknown-token"
    assert asking.ask(token="tok_of_nobody") == "unknown-token"
    assert asking.ask(service="other", key=second, token=other.id) == "permit"


def test_a_service_asks_for_no_task_but_that_of_the_token_that_it_was_shown(asking: Asking) -> None:
    other = asking.world.start(scope=CEILING)
    assert asking.ask(task=other) == "unknown-token"


def test_a_service_does_not_ask_about_what_another_one_enforces(asking: Asking) -> None:
    asking.there.set(tools=("bank__look",))
    assert asking.ask() == "not-enforced"
    assert asking.ask(tool="bank__look") == "permit"
