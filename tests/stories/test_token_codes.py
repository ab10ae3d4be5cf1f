"""Codes for clients that people use (G8: A146, A148, A155)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import (
    NoTaskError,
    NotInChargeError,
    TaskEndedError,
    TaskEvent,
    TaskPausedError,
    TaskState,
)
from taskbound.core.token.authorization.asked import ConsentState
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    AnsweredError,
    BadCodeError,
    BadVerifierError,
    NotAskedError,
    RedirectedError,
    ReusedCodeError,
    TooManyAskedError,
    TooManyTriesError,
)
from taskbound.flows.identity import register_person
from taskbound.flows.means import Actor
from taskbound.flows.revocation import stop
from taskbound.flows.task import TaskOrder
from taskbound.flows.token import (
    Admitted,
    add_client,
    drop_client,
    resource_of,
)
from tests.client_world import (
    BASE,
    CALLBACK,
    EVE,
    KEY,
    RACERS,
    RESOURCE,
    SPACE,
    TASK,
    Desk,
    race,
    refused,
    settled,
)
from tests.world import ANN, World, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store


@pytest.fixture
def desk(store: Store) -> Desk:
    return settled(World(store=store))


# --- asking and answering ------------------------------------------------------------------------


def test_a_person_who_consents_lets_the_client_in_to_the_task_and_to_no_other(desk: Desk) -> None:
    begun = desk.begin()
    assert desk.collect(begun) == {}
    desk.consent(begun)
    answer = desk.collect(begun)
    assert (answer["state"], answer["iss"]) == ("xyz", BASE)
    admission = desk.exchange(answer["code"]).admission
    assert (admission.task, admission.agent, admission.resource) == (desk.task.id, "coder", RESOURCE)
    assert (admission.person, admission.until) == ("ann", desk.task.deadline)
    (consented,) = desk.told("client-consented")
    assert (consented.client, consented.redirect, consented.by) == ("desk", "127.0.0.1", "ann")
    (admitted,) = desk.told("client-admitted")
    assert (admitted.admission, admitted.task) == (admission.id, desk.task.id)


def test_no_secret_is_kept_or_shown(desk: Desk) -> None:
    begun = desk.begin()
    desk.consent(begun)
    code = desk.collect(begun)["code"]
    let_in = desk.exchange(code)
    shown = repr((begun, let_in, desk.told("client-consented", "client-admitted")))
    with desk.world.store.read() as snapshot:
        kept = repr(
            (
                snapshot.authorizations.asked(SPACE, begun.asked.id),
                snapshot.authorizations.admission(SPACE, let_in.admission.id),
            )
        )
    for secret in (begun.secret, begun.typed, code, let_in.refresh):
        assert secret not in shown
        assert secret not in kept


def test_who_says_no_is_asked_no_more_and_the_client_is_told(desk: Desk) -> None:
    begun = desk.begin()
    desk.askings.deny(SPACE, begun.typed, ANN)
    assert desk.collect(begun)["error"] == "access_denied"
    refused(AnsweredError, lambda: desk.consent(begun))
    assert [one.by for one in desk.told("client-denied")] == ["ann"]


def test_a148_the_answer_is_for_the_browser_that_began_it_and_is_told_once(desk: Desk) -> None:
    mine, other = desk.begin(), desk.begin()
    desk.consent(mine)
    ask = desk.askings.collect
    refused(NotAskedError, lambda: ask(SPACE, mine.asked.id, other.secret, issuer=BASE))
    refused(NotAskedError, lambda: ask(SPACE, mine.asked.id, "", issuer=BASE))
    refused(NotAskedError, lambda: ask(SPACE, "ask_none", mine.secret, issuer=BASE))
    assert "code" in desk.collect(mine)
    refused(AnsweredError, lambda: desk.collect(mine))
    assert desk.collect(other) == {}


def test_a_request_waits_five_minutes(desk: Desk) -> None:
    late, never = desk.begin(), desk.begin()
    desk.consent(late)
    desk.world.clock.advance(300)
    refused(NotAskedError, lambda: desk.collect(late))
    refused(NotAskedError, lambda: desk.collect(never))
    refused(NotAskedError, lambda: desk.consent(never))


@pytest.mark.parametrize("whose", ["another-person", "another-agent", "ended", "paused", "unknown"])
def test_only_a_task_of_that_agent_that_runs_and_is_theirs_can_be_chosen(desk: Desk, whose: str) -> None:
    world, task, actor = desk.world, desk.task.id, ANN
    wanted: type[TaskboundError] = NoTaskError
    if whose == "another-person":
        register_person(world.adapters, SPACE, "eve", uid=1001, actor=ANN)
        actor, wanted = EVE, NotInChargeError
    elif whose == "another-agent":
        world.add_agent("helper")
        task = world.start(agent="helper").id
    elif whose == "ended":
        world.tasks.end(SPACE, task, TaskEvent.CANCEL, ANN, reason="x")
        wanted = TaskEndedError
    elif whose == "paused":
        world.tasks.pause(SPACE, task, ANN, reason="x")
        wanted = TaskPausedError
    else:
        task = "tsk_none"
    begun = desk.begin()
    refused(wanted, lambda: desk.askings.consent(SPACE, begun.typed, actor, task=task))
    assert desk.collect(begun) == {}
    assert desk.told("client-consented") == []


def order(agent: str = "coder") -> TaskOrder:
    return TaskOrder(namespace=SPACE, agent=agent, purpose="look", seconds=600, scope=scope_of(TASK))


def test_a_task_can_be_opened_for_the_client_by_the_rules_of_every_start(desk: Desk) -> None:
    begun = desk.begin()
    asked = desk.askings.consent(SPACE, begun.typed, ANN, order=order())
    assert asked.task != desk.task.id
    assert desk.exchange(desk.collect(begun)["code"]).admission.task == asked.task
    stop(desk.world.adapters, SPACE, stopped=True, reason="x", actor=ANN)
    other = desk.begin()
    refused(StoppedError, lambda: desk.askings.consent(SPACE, other.typed, ANN, order=order()))


def test_a_task_that_was_opened_for_nobody_is_ended(desk: Desk) -> None:
    begun = desk.begin()
    desk.world.add_agent("helper")
    refused(NoTaskError, lambda: desk.askings.consent(SPACE, begun.typed, ANN, order=order("helper")))
    with desk.world.store.read() as snapshot:
        assert snapshot.tasks.tasks(SPACE, agent="helper") == ()
    start = desk.world.tasks.start

    def late(wanted: TaskOrder, actor: Actor) -> Task:
        task = start(wanted, actor)
        desk.askings.deny(SPACE, begun.typed, ANN)
        return task

    desk.world.tasks.start = late  # type: ignore[method-assign, assignment]  # the seam of a story
    refused(AnsweredError, lambda: desk.askings.consent(SPACE, begun.typed, ANN, order=order()))
    with desk.world.store.read() as snapshot:
        newest, *_ = snapshot.tasks.tasks(SPACE, agent="coder", limit=1)
    assert (newest.state, newest.id != desk.task.id) == (TaskState.CANCELLED, True)


def test_a155_who_types_wrong_codes_types_no_more_and_each_is_recorded(desk: Desk) -> None:
    begun = desk.begin()
    for _ in range(10):
        refused(NotAskedError, lambda: desk.askings.look(SPACE, "BBBBB-BBBBB", ANN))
    refused(TooManyTriesError, lambda: desk.askings.look(SPACE, begun.typed, ANN))
    assert [one.by for one in desk.told("consent-mistyped")] == ["ann"] * 10
    assert desk.askings.look(SPACE, begun.typed.lower().replace("-", " "), EVE).id == begun.asked.id
    desk.world.clock.advance(299)
    refused(TooManyTriesError, lambda: desk.askings.look(SPACE, begun.typed, ANN))
    desk.world.clock.advance(300)
    again = desk.begin()
    assert desk.askings.look(SPACE, again.typed, ANN).id == again.asked.id


def test_who_floods_the_page_keeps_others_from_asking_and_fills_nothing(desk: Desk) -> None:
    for _ in range(64):
        desk.begin()
    refused(TooManyAskedError, desk.begin)
    desk.world.clock.advance(301)
    desk.begin()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": resource_of(BASE, "nobody")}, "invalid_target"),
        ({"resource": "https://evil.example/mcp/coder"}, "invalid_target"),
        ({"scope": "operations"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"acr_values": "urn:x"}, "unmet_authentication_requirements"),
    ],
)
def test_what_can_not_be_asked_for_waits_for_nobody(desk: Desk, changes: dict[str, str], error: str) -> None:
    with pytest.raises(RedirectedError) as told:
        desk.begin(**changes)
    assert told.value.error == error
    with desk.world.store.read() as snapshot:
        assert snapshot.authorizations.count_asked(SPACE, desk.task.started) == 0


def test_of_many_who_answer_at_once_at_two_daemons_one_is_heard(stores: tuple[Store, Store]) -> None:
    first = settled(World(store=stores[0]))
    second = Desk(World(store=stores[1], chance=first.world.chance), first.task)
    begun = first.begin()
    numbers = count()
    heard: list[ConsentState] = []

    def answer() -> Admitted:
        number = next(numbers)
        askings = (first, second)[number % 2].askings
        if number % 4 < 2:
            done = askings.consent(SPACE, begun.typed, ANN, task=first.task.id)
        else:
            done = askings.deny(SPACE, begun.typed, ANN)
        heard.append(done.state)
        raise AnsweredError("counted")

    race([answer] * 8)
    assert len(heard) == 1
    assert len(first.told("client-consented", "client-denied")) == 1


# --- codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"verifier": "w" * 43}, BadVerifierError),
        ({"verifier": ""}, BadVerifierError),
        ({"client": "other"}, BadCodeError),
        ({"redirect": "http://127.0.0.1:1/callback"}, BadCodeError),
        ({"resource": resource_of(BASE, "helper")}, BadCodeError),
    ],
)
def test_a146_a_code_that_was_brought_wrongly_is_never_right(
    desk: Desk, changes: dict[str, str], kind: type[TaskboundError]
) -> None:
    code = desk.code()
    refused(kind, lambda: desk.exchange(code, **changes))
    refused(ReusedCodeError, lambda: desk.exchange(code))
    assert len(desk.told("code-refused")) == 1
    assert desk.told("client-admitted") == []


def test_a146_a_code_is_good_for_a_minute_and_for_the_key_that_it_was_asked_with(desk: Desk) -> None:
    late = desk.code()
    desk.world.clock.advance(60)
    refused(BadCodeError, lambda: desk.exchange(late))
    bound = desk.code(dpop_jkt=KEY)
    refused(BadCodeError, lambda: desk.exchange(bound))
    assert desk.exchange(desk.code(dpop_jkt=KEY), jkt=KEY).admission.jkt == KEY
    refused(BadCodeError, lambda: desk.exchange("x" * 43))
    refused(BadCodeError, lambda: desk.exchange(""))


def test_a146_a_code_that_comes_twice_ends_what_it_brought_and_is_recorded_once(desk: Desk) -> None:
    code = desk.code()
    let_in = desk.exchange(code)
    for _ in range(3):
        refused(ReusedCodeError, lambda: desk.exchange(code, verifier=""))
    refused(AdmissionEndedError, lambda: desk.renew(let_in.refresh))
    assert [one.why for one in desk.told("admission-ended")] == ["its code came twice"]


def test_a146_of_64_that_bring_one_code_at_once_to_two_daemons_exactly_one_is_let_in(
    stores: tuple[Store, Store],
) -> None:
    first = settled(World(store=stores[0]))
    second = Desk(World(store=stores[1], chance=first.world.chance), first.task)
    code = first.code()
    numbers = count()
    (won,) = race([lambda: (first, second)[next(numbers) % 2].exchange(code)] * RACERS)
    assert len(first.told("client-admitted")) == 1
    assert len(first.told("admission-ended")) == 1
    refused(AdmissionEndedError, lambda: second.renew(won.refresh))


def test_a_code_of_a_client_that_was_removed_brings_nothing_though_its_name_is_anothers_now(
    desk: Desk,
) -> None:
    code = desk.code()
    adapters = desk.world.adapters
    drop_client(adapters, SPACE, "desk", actor=ANN, owns=True)
    add_client(adapters, SPACE, "desk", shown="", redirects=(CALLBACK,), actor=ANN, owns=True)
    refused(BadCodeError, lambda: desk.exchange(code))
