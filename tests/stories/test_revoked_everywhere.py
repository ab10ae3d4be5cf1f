"""What is revoked at one of two daemons both refuse at once, and a service as soon as it heard of it.

1. Two daemons share a PostgreSQL. Both have decided and believed a token before, so both remember what they
   may; the first one revokes.
2. The service verifies with the library, and follows the second daemon's feed. It has accepted before, and
   does once more between the revocation and its hearing of it: it is what it hears that has it refuse.
3. One that is cut off is within its bound, and then refuses everything. Its clock moves when it is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.claims import SqliteClaims
from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.action import canonical
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.core.token import TokenKeyState
from taskbound.flows.revocation import Feed, FeedStaleError, stop
from taskbound.flows.token import revoke_token
from taskbound.flows.token.issuing import Issuing, TransactionTokenOrder
from taskbound.flows.token.verifying import Verification
from taskbound.sdk.feed import FeedReader
from taskbound.sdk.fresh import BOUND
from taskbound.sdk.verify import (
    WHOEVER_HAS_IT,
    Accepted,
    Endpoint,
    Head,
    IssuerKeys,
    Refused,
    Service,
    Step,
    Verifier,
)
from taskbound.sdk.verify.keys import content_digest
from taskbound.surfaces.api.operations.feed import rows_of
from tests.token_world import API, CODER, ISSUER, KEY, TokenWorld
from tests.world import ANN, CEILING, World, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.ports.store import Store

DOMAIN = "corp.example"
BODY = canonical({"to": "bob", "amount": 10})
PAY = Endpoint(tool="bank__pay")


@dataclass(frozen=True)
class Request:
    """One that was permitted, and that nobody has begun."""

    token: str
    text: str


class Both:
    """Two daemons, and a service that hears what the second one says (rules 1 and 2)."""

    def __init__(self, stores: tuple[Store, Store], folder: Path) -> None:
        self.tokens = TokenWorld(stores[0], folder)
        self.tokens.settle_in()
        self.first = self.tokens.world
        self.second = World(store=stores[1], chance=self.first.chance)
        self.task = self.first.start(scope=CEILING)
        issuing = Issuing(issuer=ISSUER, domain=DOMAIN)
        self.verifying = [Verification(one.adapters, issuing) for one in (self.first, self.second)]
        self.own = self.tokens.issue(self.task)
        self.feed = Feed(self.second.adapters)
        self.at = 0.0
        """Seconds on the service's clock."""
        self.reader = FeedReader(clock=lambda: self.at)
        now = self.second.clock.now
        self.service = Verifier(
            Service(name="payments", issuer=ISSUER, domain=DOMAIN, holding=WHOEVER_HAS_IT),
            keys=IssuerKeys(self.tokens.published.keys, now),
            check=JoserfcCheck(),
            claims=SqliteClaims(folder / "claims" / "claims.db"),
            clock=now,
            status=self.reader,
        )

    def permitted(self) -> Request:
        """What a service may be asked for."""
        answer = self.first.ask(self.task)
        assert code_of(answer) == "permit"
        order = TransactionTokenOrder(
            namespace="default",
            task=self.task.id,
            agent=self.task.agent,
            action=id_of(answer),
            content=content_digest(BODY),
        )
        issued = self.tokens.tokens.issue_transaction_token(order, CODER)
        return Request(issued.token.id, issued.text)

    def hear(self) -> None:
        """What the second daemon knows of the log now."""
        while True:
            ask, asked = self.reader.question()
            page = self.feed.page("default", ask.after, bytes.fromhex(ask.mark), 500)
            assert self.reader.hear(rows_of("default", page), asked)
            if not page.more:
                return

    def asked(self, request: Request) -> str:
        """How the service answers: `accepted`, or the code of its refusal."""
        opened = self.service.open(Head(tokens=(request.text,), method="POST", path="/pay"), PAY)
        found = opened if isinstance(opened, Refused) else self.service.take(opened, BODY)
        if isinstance(found, Accepted):
            return "accepted"
        assert isinstance(found, Refused)
        assert found.step is Step.STATUS, found
        return found.error.code

    def believed(self) -> list[str]:
        """What the task's token is worth to each daemon: nothing said, or the code of its refusal."""
        return [_code(partial(one.verify, self.own.text, audience=API, shown=KEY)) for one in self.verifying]

    def decided(self) -> list[str]:
        """What each daemon answers to a call that shows the token."""
        calls = [
            (one, replace(one.call(self.task, connection=one.chance.name("net")), token=self.own.token.id))
            for one in (self.first, self.second)
        ]
        return [code_of(one.decide([call])[0]) for one, call in calls]


def _code(work: Callable[[], object]) -> str:
    try:
        work()
    except TaskboundError as error:
        return error.code
    return ""


@pytest.fixture
def both(stores: tuple[Store, Store], tmp_path: Path) -> Iterator[Both]:
    made = Both(stores, tmp_path)
    yield made
    made.service.close()
    made.tokens.close()


def token(both: Both, requests: tuple[Request, ...]) -> None:
    for one in (both.own.token.id, *(each.token for each in requests)):
        revoke_token(both.first.adapters, "default", one, ANN, owns=False, why="lost")


def task(both: Both, _: tuple[Request, ...]) -> None:
    both.first.tasks.end("default", both.task.id, TaskEvent.REVOKE, ANN, reason="wrong")


def agent(both: Both, _: tuple[Request, ...]) -> None:
    both.first.agents.suspend("default", both.task.agent, ANN, reason="risk")


def key(both: Both, _: tuple[Request, ...]) -> None:
    both.tokens.keys.revoke(both.tokens.kid(TokenKeyState.CURRENT), ANN, why="stolen")


def everything(both: Both, _: tuple[Request, ...]) -> None:
    stop(both.first.adapters, "default", stopped=True, reason="enough", actor=ANN)


WAYS = {
    "its token": (token, "token-revoked"),
    "its task": (task, "task-ended"),
    "its agent": (agent, "inactive-agent"),
    "the key that signed": (key, "token-key-revoked"),
    "everything in its namespace": (everything, "stopped"),
}


@pytest.mark.parametrize("stores", ["postgres"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_i45_what_is_revoked_both_daemons_refuse_at_once_and_a_service_once_it_heard(
    both: Both, way: str
) -> None:
    revoke, code = WAYS[way]
    requests = tuple(both.permitted() for _ in range(3))
    assert both.feed.look()
    both.hear()
    assert (both.believed(), both.decided()) == (["", ""], ["permit", "permit"])
    assert both.asked(requests[0]) == "accepted"
    revoke(both, requests)
    assert (both.believed(), both.decided()) == ([code, code], [code, code])
    assert both.asked(requests[1]) == "accepted"  # it has not heard yet, and is within its bound
    assert both.feed.look()
    both.hear()
    assert both.asked(requests[2]) == "revoked"
    both.at += 3600  # what is over stays over, and what was stopped too until it is heard to be back
    assert both.asked(requests[2]) == "revoked"


@pytest.mark.parametrize("stores", ["postgres"], indirect=True)
def test_i45_a_service_that_is_cut_off_refuses_all_from_its_bound_on(both: Both) -> None:
    requests = tuple(both.permitted() for _ in range(3))
    assert both.asked(requests[0]) == "stale-feed"  # of which it heard nothing yet
    assert both.feed.look()
    both.hear()
    task(both, requests)
    both.at = BOUND - 0.01
    assert both.asked(requests[0]) == "accepted"
    both.at = BOUND
    assert both.asked(requests[1]) == "stale-feed"
    assert both.feed.look()
    both.hear()
    assert both.asked(requests[1]) == "revoked"


@pytest.mark.parametrize("stores", ["postgres"], indirect=True)
def test_i45_behind_a_daemon_that_is_cut_off_itself_a_service_has_the_rest_of_the_bound(
    both: Both,
) -> None:
    requests = tuple(both.permitted() for _ in range(3))
    assert both.feed.look()
    both.second.clock.advance(BOUND - 1)  # since when that daemon has seen nothing of the log
    both.hear()
    task(both, requests)
    both.at = 0.99
    assert both.asked(requests[0]) == "accepted"
    both.at = 1.0
    assert both.asked(requests[1]) == "stale-feed"
    both.second.clock.advance(1.01)
    with pytest.raises(FeedStaleError):
        both.hear()
    assert both.asked(requests[1]) == "stale-feed"
