"""What was of before is over once a person said that an older store counts (I-15, F45)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import ApprovalState
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import DeniedError
from taskbound.core.identity.agent import ASSERTION_LIFE
from taskbound.core.identity.sign_in import Session
from taskbound.core.revocation import StoppedError
from taskbound.core.task import TaskEvent, TaskState
from taskbound.core.token import ClaimKind, TokenKeyRevokedError, TokenKeyState, Use, claim_of
from taskbound.core.token.authorization.errors import AdmissionEndedError, BadCodeError
from taskbound.flows.audit.restored import StoreDeclaration, begin_anew
from taskbound.flows.means import Actor
from taskbound.flows.revocation import stop
from taskbound.flows.token import use_claims
from taskbound.wire.jose.dpop import DPOP_AHEAD, DPOP_BEHIND
from taskbound.wire.jose.kinds import SKEW
from tests.client_world import settled
from tests.peers.holding import Holding
from tests.world import ANN, World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.flows.audit.restored import EndedCounts
    from taskbound.ports.store import Store
    from tests.token_world import TokenWorld

WHO = Actor(name="uid:1000", proof="the account of the data directory")
TOLD = StoreDeclaration(origin="example.com/new", held=7, seen=9, why="the store was put back from a copy")
LONGEST = max(DPOP_AHEAD + DPOP_BEHIND + SKEW, ASSERTION_LIFE + 2 * SKEW)
"""Of what is used once: how long after it was made its window may last."""


def begun(world: World) -> EndedCounts:
    found = begin_anew(world.adapters, TOLD, WHO)
    world.views.forget()
    return found


def lift(world: World) -> None:
    stop(world.adapters, "default", stopped=False, reason="", actor=ANN)
    world.views.forget()


def test_everything_is_stopped_and_every_task_of_before_stays_ended_once_that_is_lifted(world: World) -> None:
    task = world.settle_in()
    child = world.child(task)
    paused = world.start()
    world.tasks.pause("default", paused.id, ANN, reason="lunch")
    assert code_of(world.ask(task)) == "permit"
    found = begun(world)
    assert (found.namespaces, found.tasks) == (("default",), 3)
    for one in (task, child, paused):
        assert world.task(one).state is TaskState.REVOKED
    with pytest.raises(StoppedError):
        world.start()
    lift(world)
    assert code_of(world.ask(task)) != "permit"
    with pytest.raises(DeniedError):
        world.tasks.resume("default", paused.id, ANN)
    assert code_of(world.ask(world.start())) == "permit"


def test_an_approval_that_was_given_and_may_have_been_used_since_is_used_no_more(store: Store) -> None:
    there = Holding(store)
    action = id_of(there.world.ask(there.task))
    told, _ = there.say(action, "bob")
    assert told.state is ApprovalState.APPROVED
    begun(there.world)
    assert there.state(action) == ("withdrawn", "withdrawn")
    lift(there.world)
    assert code_of(there.world.ask(there.task)) not in {"permit", "hold"}
    assert code_of(there.world.ask(there.world.start())) == "hold"


def test_no_token_of_before_counts_and_others_are_signed_by_another_key(here: TokenWorld) -> None:
    task = here.settle_in()
    before = here.issue(task)
    assert here.verify(before.text).token.id == before.token.id
    keys = here.keys.all_keys()
    assert begun(here.world).keys == len(keys) == 2
    with pytest.raises(TokenKeyRevokedError):
        here.verify(before.text)
    lift(here.world)
    here.keys.tend()
    states = {one.kid: one.state for one in here.keys.all_keys()}
    assert {states.pop(one.kid) for one in keys} == {TokenKeyState.REVOKED}
    assert set(states.values()) == {TokenKeyState.CURRENT, TokenKeyState.NEXT}
    later = here.issue(here.world.start())
    assert here.verify(later.text).token.id == later.token.id


def test_who_was_let_in_or_asked_for_it_before_is_let_in_no_more(store: Store) -> None:
    desk = settled(World(store=store))
    let_in = desk.admitted()
    waiting = desk.code()
    assert begun(desk.world).admissions == 1
    with pytest.raises(AdmissionEndedError):
        desk.renew(let_in.refresh)
    lift(desk.world)
    with pytest.raises(AdmissionEndedError):
        desk.renew(let_in.refresh)
    with pytest.raises(BadCodeError):
        desk.exchange(waiting)


def test_who_was_signed_in_before_is_signed_in_no_more(world: World) -> None:
    world.settle_in()
    now = Instant(world.clock.at)
    session = Session(
        namespace="default",
        id="ses_1",
        secret="5" * 64,
        person="ann",
        issuer="corp",
        subject="ann",
        authenticated=now,
        acr="",
        began=now,
        until=Instant(now + minutes(60)),
    )
    world.store.write(lambda tx: tx.accounts.put_session(session))
    assert begun(world).sessions == 1
    with world.store.read() as snapshot:
        assert snapshot.accounts.sessions("default") == ()
    (ended,) = world.events("session-ended")
    assert (ended["session"], ended["reason"]) == ("ses_1", TOLD.why)


@pytest.mark.parametrize("kind", list(ClaimKind), ids=[one.value for one in ClaimKind])
def test_i41_what_is_used_once_and_was_made_before_is_refused_whether_its_use_is_known_or_not(
    world: World, kind: ClaimKind
) -> None:
    world.settle_in()
    made = world.clock.at
    used = claim_of("default", kind, "key", "used", until=Instant(made + LONGEST))
    assert use_claims(world.adapters, [used]) == (Use.FIRST,)
    begun(world)
    lost = claim_of("default", kind, "key", "lost", until=Instant(made + LONGEST))  # used after the copy
    assert set(use_claims(world.adapters, [used, lost])) <= {Use.LATE, Use.AGAIN}
    world.clock.advance(3 * 60)
    new = claim_of("default", kind, "key", "new", until=Instant(world.clock.at + seconds(60)))
    assert use_claims(world.adapters, [new]) == (Use.FIRST,)


def test_it_is_recorded_last_and_comes_to_the_same_when_it_is_run_again(world: World) -> None:
    world.settle_in()
    assert begun(world).tasks == 1
    assert begun(world).tasks == 0
    first, second = world.events("store-begun-anew")
    assert (first["tasks"], second["tasks"]) == (1, 0)
    assert (first["origin"], first["held"], first["seen"], first["why"]) == (
        TOLD.origin,
        TOLD.held,
        TOLD.seen,
        TOLD.why,
    )
    assert first["by"] == WHO.name
    with world.store.read() as snapshot:
        switch = snapshot.revocation.kill_switch("default")
    assert switch.stopped
    assert TOLD.why in switch.reason


def test_what_ended_before_stays_as_it_ended(world: World) -> None:
    task = world.settle_in()
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="done")
    assert begun(world).tasks == 0
    assert world.task(task).state is TaskState.COMPLETED
