"""Claims that a daemon keeps for services: what begins, what is told again, and what is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from taskbound.adapters.claims import SharedClaims
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import DeniedError
from taskbound.core.token import ClaimKind, ReplayedError, Token, claim_of
from taskbound.core.token.shared import (
    LONGEST_ANSWER,
    MOST_CLAIMS,
    MOST_ROOM,
    BeginRefusedError,
    Begun,
    ClaimsUnavailableError,
    Repeated,
    ServedAnswer,
    ServedForgottenError,
    Serving,
    SharedRequest,
    StillServing,
    Unfinished,
    request_digest,
)
from taskbound.flows.audit.restored import StoreDeclaration, begin_anew
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.services import change_service, remove_service, remove_service_key
from taskbound.flows.means import Actor
from taskbound.flows.revocation import stop
from taskbound.flows.token.revoking import revoke_token
from taskbound.flows.token.services import SharedClaims as Kept
from taskbound.ports.store import StoreBehindError
from taskbound.wire.jose import SKEW
from taskbound.wire.workload import BeginRequest
from tests.peers.sharing import SPACE, Line, Sharing, note
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.ports.store import Store, Transaction

DONE = ServedAnswer(status=200, headers=(), digest="d" * 64, length=4, body=b"done")
NOW = Instant(0)
"""What a service says that it is, which is of no matter."""


@pytest.fixture
def here(store: Store, tmp_path: Path) -> Iterator[Sharing]:
    one = Sharing(store, tmp_path)
    yield one
    one.close()


def machine(here: Sharing, name: str = "payments", *, takes: int = 30) -> tuple[SharedClaims, Line]:
    line = Line(here, name)
    return SharedClaims(name, line, takes=takes), line


def of(permit: Token, service: str = "payments", request: str = "r") -> Serving:
    return Serving(
        verifier=service,
        txn=permit.action,
        request=request_digest(request),
        until=permit.expires,
        token=permit.id,
    )


def beginning(here: Sharing, permit: Token) -> str:
    """What another machine is told: `begun`, or why not."""
    try:
        return type(machine(here)[0].begin(of(permit), NOW)).__name__
    except (DeniedError, ClaimsUnavailableError) as error:
        return f"{error.code}: {error.message}"


@pytest.mark.parametrize("lost", [["question"], ["answer"], ["answer", "question"], ["answer", "answer"]])
def test_a_machine_whose_question_or_answer_was_lost_asks_again_and_has_begun_and_no_other_has(
    here: Sharing, lost: list[str]
) -> None:
    (mine, line), (others, _) = machine(here), machine(here)
    line.lose = list(lost)
    assert mine.begin(of(here.permits[0]), NOW) == Begun()
    asked = [one for one in line.asked if isinstance(one, BeginRequest)]
    assert (len(asked), len({one.claimant for one in asked})) == (len(lost) + 1, 1)
    assert others.begin(of(here.permits[0]), NOW) == StillServing()
    assert mine.begin(of(here.permits[0]), NOW) == StillServing()  # another request to the same machine


def test_a_machine_that_hears_nothing_does_nothing_and_nobody_else_does_what_it_may_have_begun(
    here: Sharing,
) -> None:
    (mine, line), (others, _) = machine(here, takes=30), machine(here)
    line.lose = ["answer"] * 3
    with pytest.raises(ClaimsUnavailableError):
        mine.begin(of(here.permits[0]), NOW)
    assert len(line.asked) == 3
    assert others.begin(of(here.permits[0]), NOW) == StillServing()
    here.world.clock.advance(30)
    assert others.begin(of(here.permits[0]), NOW) == Unfinished()
    with pytest.raises(ClaimsUnavailableError):
        mine.answer(of(here.permits[0]), DONE)
    unheard = here.permitted()
    line.lose = ["question"] * 3
    with pytest.raises(ClaimsUnavailableError):
        mine.begin(of(unheard), NOW)
    assert others.begin(of(unheard), NOW) == Begun()


@pytest.mark.parametrize("lost", [["question"], ["answer"], ["answer", "answer"]])
def test_an_answer_that_was_lost_on_its_way_is_sent_again_and_is_the_answer(
    here: Sharing, lost: list[str]
) -> None:
    (mine, line), (others, _) = machine(here), machine(here)
    mine.begin(of(here.permits[0]), NOW)
    line.lose = list(lost)
    mine.answer(of(here.permits[0]), DONE)
    assert others.begin(of(here.permits[0]), NOW) == Repeated(answer=DONE)


def test_an_answer_that_comes_late_is_the_answer_of_what_nobody_knew(here: Sharing) -> None:
    (mine, _), (others, _) = machine(here, takes=1), machine(here)
    mine.begin(of(here.permits[0]), NOW)
    here.world.clock.advance(2)
    assert others.begin(of(here.permits[0]), NOW) == Unfinished()
    mine.answer(of(here.permits[0]), DONE)
    assert others.begin(of(here.permits[0]), NOW) == Repeated(answer=DONE)


def test_a_machine_that_is_ended_leaves_what_nobody_knows_at_once(here: Sharing) -> None:
    (mine, _), (others, _) = machine(here), machine(here)
    mine.begin(of(here.permits[0]), NOW)
    mine.begin(of(here.permits[1]), NOW)
    mine.answer(of(here.permits[1]), DONE)
    mine.close()
    assert others.begin(of(here.permits[0]), NOW) == Unfinished()
    assert others.begin(of(here.permits[1]), NOW) == Repeated(answer=DONE)


def test_what_has_ended_begins_nothing_and_is_refused_by_its_name(here: Sharing) -> None:
    ends: dict[str, Callable[[Token], object]] = {
        "token-revoked": lambda one: revoke_token(here.adapters, SPACE, one.id, ANN, owns=True, why="x"),
        "action-not-open": lambda one: here.world.tell(one.action),
        "token-ended": lambda one: here.world.clock.advance((one.expires - one.issued) / 1_000_000 + 1),
    }
    for code, end in ends.items():
        permit = here.permitted()
        end(permit)
        assert code in beginning(here, permit)
    permit, done = here.permitted(), here.permitted()
    mine, _ = machine(here)
    mine.begin(of(done), NOW)
    mine.answer(of(done), DONE)
    here.world.tasks.pause(SPACE, here.task.id, ANN, reason="lunch")
    assert "task-paused" in beginning(here, permit)
    here.world.tasks.resume(SPACE, here.task.id, ANN)
    stop(here.adapters, SPACE, stopped=True, reason="x", actor=ANN)
    assert "stopped" in beginning(here, permit)
    stop(here.adapters, SPACE, stopped=False, reason="", actor=ANN)
    assert machine(here)[0].begin(of(done), NOW) == Repeated(answer=DONE)
    assert beginning(here, permit) == "Begun"


def test_a_service_begins_with_a_token_that_is_a_permits_of_the_action_and_nothing_else(
    here: Sharing,
) -> None:
    one, other = here.permits[:2]
    task = here.tokens.issue(here.task).token
    for token in ("tok_of_nobody", other.id, task.id, here.askers["payments"].token):
        assert "unknown-token" in beginning(here, replace(one, id=token))
    assert "unknown-token" in beginning(here, replace(one, action=other.action))
    narrow = here.serve("narrow", "bank__pay", "other__*", seed=33)
    here.askers["narrow"] = narrow
    with pytest.raises(BeginRefusedError, match="not-enforced"):
        machine(here, "narrow")[0].begin(of(one, "narrow"), NOW)
    change_service(here.adapters, SPACE, "narrow", owner="", tools=("bank__look",), actor=ANN, owns=True)
    assert machine(here, "narrow")[0].begin(of(one, "narrow"), NOW) == Begun()
    with pytest.raises(ClaimsUnavailableError):
        machine(here, "narrow")[0].begin(of(other, "payments"), NOW)


def test_a_service_that_is_no_more_begins_nothing_and_one_of_its_name_gets_none_of_its_room_back(
    here: Sharing,
) -> None:
    mine, _ = machine(here)
    mine.begin(of(here.permits[0]), NOW)
    remove_service(here.adapters, SPACE, "payments", actor=ANN, owns=True)
    assert "begin-refused" in beginning(here, here.permits[1])
    here.askers["payments"] = here.serve("payments", seed=34)
    assert machine(here)[0].begin(of(here.permits[0]), NOW) == StillServing()
    assert beginning(here, here.permits[1]) == "Begun"


def test_a_service_whose_own_token_or_owner_is_gone_begins_nothing(here: Sharing) -> None:
    assert beginning(here, here.permits[0]) == "Begun"
    revoke_token(here.adapters, SPACE, here.askers["payments"].token, ANN, owns=True, why="it was seen")
    assert "token-revoked" in beginning(here, here.permits[1])
    here.askers["payments"] = replace(here.askers["payments"], token=here.permits[2].id)
    assert "unknown-token" in beginning(here, here.permits[1])
    People(here.adapters, here.world.views).leave(SPACE, "ann", ANN, owns=True, reason="left")
    with pytest.raises(BeginRefusedError):
        machine(here, "ledger")[0].begin(of(here.permits[1], "ledger"), NOW)


def take_keys(here: Sharing) -> None:
    with here.adapters.store.read() as snapshot:
        (key,) = snapshot.services.service_keys(SPACE, "payments")
    remove_service_key(here.adapters, SPACE, "payments", key.kid, actor=ANN, owns=True)


LATE: dict[str, tuple[Callable[[Sharing], object], str]] = {
    "the service": (
        lambda here: remove_service(here.adapters, SPACE, "payments", actor=ANN, owns=True),
        "unknown-service",
    ),
    "its key": (take_keys, "unknown-service-key"),
    "its token": (
        lambda here: revoke_token(
            here.adapters, SPACE, here.askers["payments"].token, ANN, owns=True, why="seen"
        ),
        "token-revoked",
    ),
    "what it enforces": (
        lambda here: change_service(
            here.adapters, SPACE, "payments", owner="", tools=("pay__*",), actor=ANN, owns=True
        ),
        "not-enforced",
    ),
}


@pytest.mark.parametrize("what", sorted(LATE))
def test_i24_what_a_service_rests_on_and_ends_behind_what_was_read_begins_nothing(
    here: Sharing, what: str
) -> None:
    end, code = LATE[what]
    here.world.meanwhile(lambda: end(here))
    assert code in beginning(here, here.permits[0])


def test_a_service_that_has_as_much_as_one_may_have_begins_no_more_and_another_does(here: Sharing) -> None:
    mine, _ = machine(here)
    mine.begin(of(here.permits[0]), NOW)

    def fill(room: int, claims: int) -> None:
        def work(tx: Transaction) -> None:
            tally = tx.shared_claims.lock_tally(SPACE, "payments")
            tx.shared_claims.put_tally(replace(tally, turn=tally.turn + 1, room=room, claims=claims))

        here.adapters.store.write(work)

    for room, claims in ((MOST_ROOM - LONGEST_ANSWER + 1, 1), (LONGEST_ANSWER, MOST_CLAIMS)):
        fill(room, claims)
        assert "claims-full" in beginning(here, here.permits[1])
        assert machine(here)[0].begin(of(here.permits[0]), NOW) == StillServing()
        assert machine(here, "ledger")[0].begin(of(here.permitted(), "ledger"), NOW) == Begun()
    fill(MOST_ROOM - 4096, 1)
    mine.answer(of(here.permits[0]), DONE)  # it has had its room
    assert beginning(here, here.permits[1]) == "Begun"


def test_what_is_over_is_forgotten_with_its_answer_and_begins_no_more_by_whatever_clock(
    here: Sharing,
) -> None:
    mine, _ = machine(here)
    permit = here.permits[0]
    mine.begin(of(permit), NOW)
    mine.answer(of(permit), DONE)
    mine.begin(of(here.permits[1]), NOW)
    assert here.kept.sweep() == 0
    here.world.clock.at = permit.expires + SKEW + minutes(2) + seconds(1)
    assert here.kept.sweep() == 0  # no record is as late as that
    note(here)
    assert here.kept.sweep() == 2
    with here.adapters.store.read() as snapshot:
        assert snapshot.shared_claims.claim(SPACE, "payments", permit.action) is None
    here.world.clock.at = permit.issued + 1  # another daemon's, that is behind
    with pytest.raises(ServedForgottenError):
        machine(here)[0].begin(of(permit), NOW)
    with pytest.raises(ClaimsUnavailableError, match="not-begun"):
        mine.answer(of(here.permits[1]), DONE)  # which took longer than it is remembered


def test_of_a_store_that_was_put_back_nothing_begins_that_was_permitted_before(here: Sharing) -> None:
    mine, _ = machine(here)
    done, open_ = here.permits[:2]
    mine.begin(of(done), NOW)
    mine.answer(of(done), DONE)
    begun_before = here.permits[2]

    def lose(tx: Transaction) -> None:
        tx.shared_claims.drop(SPACE, "payments", Instant(2**60), limit=9)

    here.adapters.store.write(lose)  # as in a copy that is older than the claim
    told = StoreDeclaration(
        origin="example.com/new", held=7, seen=9, why="the store was put back from a copy"
    )
    begin_anew(here.adapters, told, Actor(name="uid:1000", proof="the account of the data directory"))
    here.world.views.forget()
    here.kept = Kept(here.adapters)  # another process
    for permit in (done, open_, begun_before):
        assert "begin-refused" in beginning(here, permit)
    stop(here.adapters, SPACE, stopped=False, reason="", actor=ANN)
    here.world.views.forget()
    for permit in (done, open_, begun_before):
        assert "begin-refused" in beginning(here, permit)


class Standby:
    """A store that another one takes the place of, which has not heard of what was done last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now = SqlStore(folder / "first.db", reserve=0)

    def copy(self) -> SqlStore:
        first, second = (self._folder / f"{one}.db" for one in ("first", "second"))
        with closing(driver.connect(first)) as one, closing(driver.connect(second)) as other:
            one.backup(other)
        return SqlStore(self._folder / "second.db", reserve=0)

    def __getattr__(self, name: str) -> object:
        return getattr(self.now, name)


def test_a_store_that_lost_claims_which_this_daemon_saw_begins_and_answers_nothing(tmp_path: Path) -> None:
    standby = Standby(tmp_path)
    here = Sharing(cast("Store", standby), tmp_path)
    mine, _ = machine(here)
    mine.begin(of(here.permits[0]), NOW)
    second, first = standby.copy(), standby.now
    mine.begin(of(here.permits[1]), NOW)
    standby.now = second
    assert "store-behind" in beginning(here, here.permits[1])
    assert "store-behind" in beginning(here, here.permits[2])
    assert beginning(here, here.permits[0]) == "StillServing"
    with pytest.raises(ClaimsUnavailableError, match="store-behind"):
        mine.answer(of(here.permits[0]), DONE)
    with pytest.raises(StoreBehindError):
        here.kept.begin(here.askers["payments"], wish_of(here.permits[2]))
    assert machine(here, "ledger")[0].begin(of(here.permits[2], "ledger"), NOW) == Begun()
    here.close()
    first.close()
    second.close()


def wish_of(permit: Token) -> SharedRequest:
    return SharedRequest(
        txn=permit.action, token=permit.id, request=request_digest("r"), claimant="c" * 32, takes=30
    )


def test_no_record_is_made_of_any_of_it(here: Sharing) -> None:
    before = len(here.world.records())
    (mine, _), (others, _) = machine(here), machine(here, "ledger")
    mine.begin(of(here.permits[0]), NOW)
    mine.answer(of(here.permits[0]), DONE)
    others.begin(of(here.permits[0], "ledger"), NOW)
    others.lose(of(here.permits[0], "ledger"))
    assert others.begin(of(here.permits[0], "ledger"), NOW) == Unfinished()
    assert len(here.world.records()) == before


def test_what_a_service_was_shown_serves_once_on_all_its_machines_apart_from_others(
    here: Sharing,
) -> None:
    (one, _), (two, line), (other, _) = machine(here), machine(here), machine(here, "ledger")
    until = Instant(here.world.clock.now() + minutes(1))
    shown = claim_of("", ClaimKind.DPOP, "key", "1", until=until)
    one.use(shown, NOW)
    with pytest.raises(ReplayedError):
        two.use(shown, NOW)
    other.use(shown, NOW)
    line.lose = ["answer"]
    with pytest.raises(ClaimsUnavailableError):
        two.use(replace(shown, digest="0" * 64), NOW)  # it may have been used, and is not asked again
    with pytest.raises(ReplayedError):
        one.use(replace(shown, digest="0" * 64), NOW)
    with pytest.raises(ClaimsUnavailableError, match="bad-claim"):
        one.use(replace(shown, digest="1" * 64, until=Instant(until + minutes(5))), NOW)
