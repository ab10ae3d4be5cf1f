"""What keeps a client let in that people use (G8: A149)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import minutes
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import InactiveAgentError, UnknownIdentityError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import (
    NotInChargeError,
    TaskEndedError,
    TaskEvent,
    TaskPausedError,
)
from taskbound.core.token import ForeignTokenError
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    BadCodeError,
    BadRefreshError,
    NotAskedError,
    ReusedCodeError,
    ReusedRefreshError,
    UnknownAdmissionError,
    UnknownClientError,
    WiderRefreshError,
)
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.revocation import stop
from taskbound.flows.token import (
    drop_client,
    end_admission,
    give_back_refresh,
    resource_of,
    sweep_asked,
)
from tests.client_world import (
    BASE,
    EVE,
    KEY,
    RACERS,
    SPACE,
    Desk,
    race,
    refused,
    settled,
)
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Store


@pytest.fixture
def desk(store: Store) -> Desk:
    return settled(World(store=store))


# --- refresh tokens ------------------------------------------------------------------------------


def test_a_refresh_token_is_used_once_and_brings_the_next(desk: Desk) -> None:
    let_in = desk.admitted()
    for _ in range(3):
        after = desk.renew(let_in.refresh)
        assert after.admission.id == let_in.admission.id
        let_in = after
    assert desk.told("admission-ended") == []


def test_a149_a_refresh_token_that_comes_again_ends_the_admission_after_a_restart_too(
    stores: tuple[Store, Store],
) -> None:
    first = settled(World(store=stores[0]))
    let_in = first.admitted()
    newest = first.renew(let_in.refresh)
    second = Desk(World(store=stores[1], chance=first.world.chance), first.task)
    for _ in range(2):
        refused(ReusedRefreshError, lambda: second.renew(let_in.refresh))
    refused(AdmissionEndedError, lambda: first.renew(newest.refresh))
    assert [one.why for one in first.told("admission-ended")] == ["a refresh token came twice"]


def test_a149_of_64_that_bring_one_refresh_token_at_once_one_is_answered_and_all_is_over(
    stores: tuple[Store, Store],
) -> None:
    first = settled(World(store=stores[0]))
    second = Desk(World(store=stores[1], chance=first.world.chance), first.task)
    refresh = first.admitted().refresh
    numbers = count()
    (won,) = race([lambda: (first, second)[next(numbers) % 2].renew(refresh)] * RACERS)
    refused(AdmissionEndedError, lambda: second.renew(won.refresh))
    assert len(first.told("admission-ended")) == 1


@pytest.mark.parametrize(
    ("bound", "changes", "why"),
    [
        ("", {"client": "other"}, "another client brought its refresh token"),
        ("", {"jkt": KEY}, "its refresh token came without its key"),
        (KEY, {}, "its refresh token came without its key"),
        (KEY, {"jkt": "o" * 43}, "its refresh token came without its key"),
    ],
)
def test_a149_a_refresh_token_in_other_hands_ends_the_admission(
    desk: Desk, bound: str, changes: dict[str, str], why: str
) -> None:
    let_in = desk.admitted(jkt=bound)
    refused(ReusedRefreshError, lambda: desk.renew(let_in.refresh, **changes))
    refused(AdmissionEndedError, lambda: desk.renew(let_in.refresh, jkt=bound))
    assert [one.why for one in desk.told("admission-ended")] == [why]


def test_a149_a_refresh_token_is_for_no_more_than_it_was_and_asking_uses_nothing_up(desk: Desk) -> None:
    let_in = desk.exchange(desk.code(scope="task"), jkt=KEY)
    elsewhere = resource_of(BASE, "helper")
    refused(WiderRefreshError, lambda: desk.renew(let_in.refresh, jkt=KEY, resource=elsewhere))
    refused(WiderRefreshError, lambda: desk.renew(let_in.refresh, jkt=KEY, scope=("task", "operations")))
    assert desk.renew(let_in.refresh, jkt=KEY, scope=("task",), resource="").admission.scope == ("task",)
    refused(BadRefreshError, lambda: desk.renew("x" * 43))
    refused(BadRefreshError, lambda: desk.renew("x"))


@pytest.mark.parametrize("what", ["ended", "stopped", "suspended", "left", "parent", "deadline"])
def test_a_client_is_let_in_while_its_task_gives_authority(desk: Desk, what: str) -> None:
    world = desk.world
    wanted: type[TaskboundError]
    code = desk.code()
    refresh = desk.admitted().refresh
    if what == "ended":
        world.tasks.end(SPACE, desk.task.id, TaskEvent.COMPLETE, ANN, reason="")
        wanted = TaskEndedError
    elif what == "stopped":
        stop(world.adapters, SPACE, stopped=True, reason="x", actor=ANN)
        wanted = StoppedError
    elif what == "suspended":
        world.agents.suspend(SPACE, "coder", ANN, reason="x")
        wanted = InactiveAgentError
    elif what == "left":
        register_person(world.adapters, SPACE, "eve", uid=1001, actor=ANN)
        People(world.adapters, world.views).leave(SPACE, "ann", EVE, owns=True, reason="x")
        wanted = UnknownIdentityError
    elif what == "parent":
        world.add_agent("helper")
        child = world.child(desk.task)
        desk.task = child
        code = desk.code()
        refresh = desk.admitted().refresh
        world.tasks.end(SPACE, child.parent, TaskEvent.COMPLETE, ANN, reason="")
        wanted = TaskEndedError
    else:
        world.clock.at = desk.task.deadline
        wanted = AdmissionEndedError
    refused(wanted, lambda: desk.renew(refresh))
    refused(DeniedError, lambda: desk.exchange(code))
    assert len(desk.told("code-refused")) == 1


def test_who_consented_as_the_owner_of_an_agent_lets_nobody_in_once_it_is_anothers(desk: Desk) -> None:
    world = desk.world
    register_person(world.adapters, SPACE, "eve", uid=1001, actor=ANN, owner_uid=1001)
    people = People(world.adapters, world.views)
    desk.task = world.start(actor=EVE)
    code, let_in = desk.code(), desk.admitted()
    both = ("ann", "eve")
    people.set_answering(SPACE, "coder", owner="eve", approvers=both, actor=ANN, owns=False)
    refused(NotInChargeError, lambda: desk.renew(let_in.refresh))
    refused(NotInChargeError, lambda: desk.exchange(code))
    people.set_answering(SPACE, "coder", owner="ann", approvers=both, actor=EVE, owns=False)
    assert desk.renew(let_in.refresh).admission.id == let_in.admission.id


def test_a_paused_task_refuses_and_uses_no_refresh_token_up(desk: Desk) -> None:
    refresh = desk.admitted().refresh
    desk.world.tasks.pause(SPACE, desk.task.id, ANN, reason="x")
    refused(TaskPausedError, lambda: desk.renew(refresh))
    desk.world.tasks.resume(SPACE, desk.task.id, ANN)
    desk.renew(refresh)


def test_a_client_that_is_removed_is_let_in_nowhere_any_more(desk: Desk) -> None:
    let_in = [desk.admitted(), desk.admitted()]
    waiting = desk.begin()
    drop_client(desk.world.adapters, SPACE, "desk", actor=ANN, owns=True)
    refused(AdmissionEndedError, lambda: desk.renew(let_in[0].refresh))
    refused(AdmissionEndedError, lambda: desk.renew(let_in[1].refresh))
    refused(NotAskedError, lambda: desk.consent(waiting))
    refused(UnknownClientError, desk.begin)
    assert len(desk.told("admission-ended")) == 2


def test_what_is_over_for_a_day_is_forgotten_and_nothing_that_counts(desk: Desk) -> None:
    code = desk.code()
    let_in = desk.exchange(code)
    desk.world.clock.advance(86_000)
    register_person(desk.world.adapters, SPACE, "bob", uid=1002, actor=ANN)
    assert sweep_asked(desk.world.adapters) == 0
    refused(ReusedCodeError, lambda: desk.exchange(code))
    desk.world.clock.advance(minutes(2) / 1_000_000 + 3600 + 400)
    register_person(desk.world.adapters, SPACE, "eve", uid=1003, actor=ANN)
    assert sweep_asked(desk.world.adapters) == 2
    refused(BadCodeError, lambda: desk.exchange(code))
    refused(BadRefreshError, lambda: desk.renew(let_in.refresh))


# --- ended by somebody ---------------------------------------------------------------------------


def ended(desk: Desk, admission: str, actor: Actor = ANN, *, owns: bool = False) -> None:
    end_admission(desk.world.adapters, SPACE, admission, actor, owns=owns, why="laptop lost")


def test_whose_task_or_agent_it_is_ends_what_a_client_was_let_in_to_with_one_record(desk: Desk) -> None:
    let_in, other = desk.admitted(), desk.admitted()
    for _ in range(2):
        ended(desk, let_in.admission.id)
    (told,) = desk.told("admission-ended")
    assert (told.admission, told.why, told.by) == (let_in.admission.id, "laptop lost", "ann")
    refused(AdmissionEndedError, lambda: desk.renew(let_in.refresh))
    assert desk.renew(other.refresh).admission.id == other.admission.id


def test_a_person_without_anything_to_say_about_it_ends_nothing_and_the_owner_of_the_directory_all(
    desk: Desk,
) -> None:
    register_person(desk.world.adapters, SPACE, "eve", uid=1001, actor=ANN)
    let_in = desk.admitted()
    refused(NotInChargeError, lambda: ended(desk, let_in.admission.id, EVE))
    refused(UnknownAdmissionError, lambda: ended(desk, "adm_none", ANN))
    assert desk.told("admission-ended") == []
    ended(desk, let_in.admission.id, EVE, owns=True)
    refused(AdmissionEndedError, lambda: desk.renew(let_in.refresh))


@pytest.mark.parametrize("turn", [0, 1])
def test_a_client_that_gives_a_refresh_token_back_is_let_in_no_more(desk: Desk, turn: int) -> None:
    let_in = desk.admitted()
    tokens = [let_in.refresh, desk.renew(let_in.refresh).refresh]
    assert give_back_refresh(desk.world.adapters, SPACE, tokens[turn], "desk")
    refused(AdmissionEndedError, lambda: desk.renew(tokens[1]))
    assert give_back_refresh(desk.world.adapters, SPACE, tokens[turn], "desk")
    (told,) = desk.told("admission-ended")
    assert (told.by, told.why) == ("client:desk", "its client gave its refresh token back")
    assert not any(one in repr(told) for one in tokens)


def test_a149_a_refresh_token_that_another_client_gives_back_is_in_other_hands(desk: Desk) -> None:
    let_in = desk.admitted()
    refused(
        ForeignTokenError,
        lambda: give_back_refresh(desk.world.adapters, SPACE, let_in.refresh, "other"),
    )
    refused(AdmissionEndedError, lambda: desk.renew(let_in.refresh))
    (told,) = desk.told("admission-ended")
    assert told.by == "client:other"


@pytest.mark.parametrize("text", ["", "x" * 43, "not a refresh token", "\udce9" * 43, "é" * 43])
def test_what_is_no_refresh_token_is_nothing_to_give_back(desk: Desk, text: str) -> None:
    desk.admitted()
    assert not give_back_refresh(desk.world.adapters, SPACE, text, "desk")
    assert not give_back_refresh(desk.world.adapters, "elsewhere", desk.admitted().refresh, "desk")
    assert desk.told("admission-ended") == []
