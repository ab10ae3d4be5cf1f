"""Tasks that were begun for somebody who never got anything of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.task import TaskState, Template
from taskbound.flows.task import TaskOrder, save_template
from taskbound.flows.token.issuing import PersonTokenOrder
from tests.client_world import SPACE, TASK, settled
from tests.stories.test_token_exchange import DETAILS, agent, exchange, handed, refused
from tests.token_world import ISSUER, KEY, OTHER_KEY, claims_in
from tests.world import ANN, SCOPE, World, id_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.ports.store import Store
    from tests.token_world import TokenWorld


class Killed(BaseException):
    """What is not there after a kill: nothing that follows it runs."""


def killed() -> None:
    raise Killed


def begins(here: TokenWorld, how: str, *, anew: bool = True) -> Callable[[], str]:
    """An exchange that begins a task: in a person's name, or as a part of another's task; the task's id."""
    token = handed(here)[1] if anew else meant(here)
    if how == "handed on":
        helper = agent(here, "helper")
        return lambda: exchange(here, helper, token, OTHER_KEY, authorization_details=DETAILS).task
    order = PersonTokenOrder(namespace="default", person="ann", audience=ISSUER, binding=KEY)
    person = here.tokens.issue_person_token(order, ANN).text
    return lambda: exchange(here, agent(here), person, authorization_details=DETAILS).task


def meant(here: TokenWorld) -> str:
    """A token of the first task, to be handed on."""
    with here.adapters.store.read() as snapshot:
        first = snapshot.tasks.tasks("default")[-1]
    return here.issue(first, audience=ISSUER, may_act="agent:helper").text


def newest(world: World) -> Task:
    with world.store.read() as snapshot:
        return snapshot.tasks.tasks("default", limit=1)[0]


def swept(world: World) -> list[tuple[str, str]]:
    return [(one.task, one.state.value) for one in world.tasks.end_unclaimed()]


def noted(world: World, task: str) -> bool:
    with world.store.read() as snapshot:
        return snapshot.unclaimed.note("default", task) is not None


@pytest.mark.parametrize("how", ["in a person's name", "handed on"])
def test_a_task_whose_token_never_came_ends_a_minute_after_it_began_with_a_record(
    here: TokenWorld, how: str
) -> None:
    begin = begins(here, how)
    here.signer.before = killed
    with pytest.raises(Killed):
        begin()
    task = newest(here.world)
    assert task.state is TaskState.RUNNING
    here.world.clock.advance(59)
    assert swept(here.world) == []
    here.world.clock.advance(1)
    assert swept(here.world) == [(task.id, "cancelled")]
    assert newest(here.world).state is TaskState.CANCELLED
    told = here.world.events("task-changed")[-1]
    assert (told["task"], told["by"], told["event"]) == (task.id, "daemon", "cancel")
    assert told["reason"] == "no client claimed it within a minute"
    assert swept(here.world) == []
    assert not noted(here.world, task.id)


@pytest.mark.parametrize("how", ["in a person's name", "handed on"])
def test_a_task_whose_token_came_is_nobody_elses_to_end(here: TokenWorld, how: str) -> None:
    task = begins(here, how)()
    assert not noted(here.world, task)
    here.world.clock.advance(120)
    assert swept(here.world) == []
    assert newest(here.world).state is TaskState.RUNNING


@pytest.mark.parametrize("how", ["in a person's name", "handed on"])
def test_a_token_that_is_lost_on_its_way_ends_its_task_by_the_heartbeat_of_its_template_alone(
    here: TokenWorld, how: str
) -> None:
    handed(here)
    save_template(here.adapters, template(heartbeat=60, grace=300), ANN)
    lost = begins(here, how, anew=False)()
    used = (
        [begins(here, how, anew=False)()] if how == "in a person's name" else []
    )  # a part takes all there is
    ended: list[str] = []
    for _ in range(13):
        here.world.clock.advance(30)
        here.world.watch.hear({"default": used})  # as each request with its token does
        ended += [one.task for one in here.world.watch.look() if one.state is TaskState.EXPIRED]
    assert ended == [lost]
    assert swept(here.world) == []


def template(**more: int) -> Template:
    plain: dict[str, Any] = {"namespace": "default", "name": "pay", "seconds": 1800, "purpose": "pay"}
    return Template(scope=scope_of(SCOPE), **plain | more)


def test_a_part_that_nobody_got_a_token_of_gives_back_what_it_took(here: TokenWorld) -> None:
    begin = begins(here, "handed on")
    with here.adapters.store.read() as snapshot:
        parent = snapshot.tasks.tasks("default", limit=1)[0].id
        before = snapshot.tasks.remainders("default", parent)
    here.signer.before = killed
    with pytest.raises(Killed):
        begin()
    here.world.clock.advance(60)
    assert len(swept(here.world)) == 1
    with here.adapters.store.read() as snapshot:
        assert snapshot.tasks.remainders("default", parent) == before


def test_a_token_that_was_signed_after_its_task_was_given_up_is_handed_to_nobody(here: TokenWorld) -> None:
    begin = begins(here, "in a person's name")

    def slow() -> None:
        here.world.clock.advance(60)
        here.signer.before = lambda: None

    here.signer.before = slow
    sign = here.signer.signer.sign_token
    ended: list[list[tuple[str, str]]] = []

    def late(namespace: str, token: str) -> str:
        text = sign(namespace, token)
        ended.append(swept(here.world))
        return text

    here.signer.signer.sign_token = late  # type: ignore[method-assign]  # the seam of a story
    refused("task-ended", begin)
    assert ended == [[(newest(here.world).id, "cancelled")]]
    assert len(here.world.events("task-changed")) == 1


def test_an_agent_that_asks_by_the_name_of_the_task_claims_it(here: TokenWorld) -> None:
    begin = begins(here, "in a person's name")
    here.signer.before = killed
    with pytest.raises(Killed):
        begin()
    here.signer.before = lambda: None
    task = newest(here.world)
    token = exchange(here, agent(here), task.id)
    assert claims_in(token.issued.text)["task"] == task.id
    here.world.clock.advance(60)
    assert swept(here.world) == []


def test_a_task_that_was_opened_for_a_client_ends_when_the_answer_never_came(store: Store) -> None:
    desk = settled(World(store=store))
    begun = desk.begin()
    order = TaskOrder(namespace=SPACE, agent="coder", purpose="look", seconds=600, scope=scope_of(TASK))
    start = desk.world.tasks.start

    def started(wanted: TaskOrder, actor: object) -> Task:
        start(wanted, actor)  # type: ignore[arg-type]  # as it came
        raise Killed

    desk.world.tasks.start = started  # type: ignore[method-assign, assignment]  # the seam of a story
    with pytest.raises(Killed):
        desk.askings.consent(SPACE, begun.typed, ANN, order=order)
    given_up = newest(desk.world)
    desk.world.tasks.start = start  # type: ignore[method-assign]  # the seam of a story
    opened = desk.askings.consent(SPACE, begun.typed, ANN, order=order).task
    assert (noted(desk.world, given_up.id), noted(desk.world, opened)) == (True, False)
    desk.world.clock.advance(60)
    assert swept(desk.world) == [(given_up.id, "cancelled")]


def test_a_note_of_a_task_that_ended_otherwise_is_forgotten_without_a_record(here: TokenWorld) -> None:
    begin = begins(here, "in a person's name")
    here.signer.before = killed
    with pytest.raises(Killed):
        begin()
    task = newest(here.world)
    here.world.clock.advance(3600)
    assert [one.task for one in here.world.tasks.expire() if one.task == task.id] == [task.id]
    before = len(here.world.records())
    assert swept(here.world) == []
    assert not noted(here.world, task.id)
    assert len(here.world.records()) == before


def test_what_a_person_starts_for_themselves_is_noted_by_nobody(here: TokenWorld) -> None:
    task = here.settle_in()
    assert id_of(here.world.ask(task))
    assert not noted(here.world, task.id)
