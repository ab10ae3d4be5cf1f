"""What whoever watches a call is told of the time that it takes to decide it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from taskbound.core.task import TaskEvent
from tests.world import ANN, World, code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.store import Store


@dataclass
class Watch:
    """One call's stages in order: their names, the size of the group, and whether each is over."""

    told: list[tuple[str, int, bool]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, *, group: int = 0) -> Iterator[None]:
        self.told.append((name, group, False))
        yield
        self.told[-1] = (name, group, True)


def test_calls_that_are_committed_together_are_each_told_of_it_with_their_number(store: Store) -> None:
    world = World(store=store)
    task = world.settle_in()
    watches = [Watch(), Watch()]
    calls = [replace(world.call(task), watch=one) for one in watches]
    answers = world.decide([calls[0], world.call(task), calls[1]])
    assert [code_of(one) for one in answers] == ["permit"] * 3
    for one in watches:
        assert one.told == [("evaluate", 0, True), ("commit", 3, True)]


def test_a_call_that_never_came_to_a_commit_is_told_of_none(store: Store) -> None:
    world = World(store=store)
    task = world.settle_in()
    watch = Watch()
    malformed = replace(world.call(task, arguments=b'{"to": "bob"}'), watch=watch)
    assert code_of(world.decide([malformed])[0]) == "not-canonical"
    assert [name for name, _, _ in watch.told] == ["evaluate"]


def test_a_call_that_is_judged_anew_is_told_of_each_stage_again(store: Store) -> None:
    world = World(store=store)
    task = world.settle_in()
    watch = Watch()
    assert code_of(world.ask(task)) == "permit"  # what it rests on is known now
    other = World(store=store, clock=world.clock, chance=world.chance)
    other.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="done")
    assert code_of(world.decide([replace(world.call(task), watch=watch)])[0]) == "task-ended"
    assert [name for name, _, _ in watch.told][:2] == ["evaluate", "commit"]
    assert len(watch.told) > 2
