from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from taskbound.surfaces.cli.naming import whole_action, whole_task
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.wire.action import ActionRow, ActionRows, ListActions
from taskbound.wire.task import ListTasks, TaskRow, TaskRows

if TYPE_CHECKING:
    from taskbound.surfaces.cli.session import Session


class Pages:
    """A daemon's lists of these ids, in pages of two."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids
        self.asked = 0

    def ask(self, ask: ListTasks | ListActions, _kind: object) -> TaskRows | ActionRows:
        self.asked += 1
        start = self.ids.index(ask.before) + 1 if ask.before else 0
        some, more = self.ids[start : start + 2], len(self.ids) > start + 2
        if isinstance(ask, ListTasks):
            return TaskRows(rows=tuple(map(task_row, some)), more=more)
        return ActionRows(rows=tuple(map(action_row, some)), more=more)


def task_row(name: str) -> TaskRow:
    return TaskRow(
        task=name,
        agent="a",
        requester="b",
        purpose="c",
        state="running",
        started=1,
        deadline=2,
        actions=0,
        learning=False,
    )


def action_row(name: str) -> ActionRow:
    return ActionRow(
        action=name,
        task="t",
        agent="a",
        tool="x",
        state="refused",
        decision="refuse",
        code="c",
        at=1,
        attempt=1,
        learning=False,
    )


def session(*ids: str) -> tuple[Session, Pages]:
    pages = Pages(*ids)
    return cast("Session", pages), pages


def some(mark: str, *ends: str) -> list[str]:
    return [f"{mark}_{'a' * 27}{one}" for one in ends]


def test_a_shortened_id_is_looked_for_in_every_page() -> None:
    ids = some("tsk", "aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd", "eeeeeeee")
    assert whole_task(session(*ids)[0], "tsk_~eeeeeeee") == ids[-1]
    acts = some("act", "aaaaaaaa", "bbbbbbbb", "cccccccc")
    assert whole_action(session(*acts)[0], "act_…cccccccc") == acts[-1]


def test_an_end_that_two_have_names_neither() -> None:
    ids = some("tsk", "baaaaaaaa", "bbbbbbbb", "caaaaaaaa")
    with pytest.raises(BadInputError, match="2 tasks end with `aaaaaaaa`"):
        whole_task(session(*ids)[0], "tsk_~aaaaaaaa")


@pytest.mark.parametrize(
    "told",
    [
        "tsk_1",
        "tsk_~aaaaaaa",
        "tsk_" + "a" * 35,
        "",
        "nope",
        "tsk_~aaaaaaaa\n",
        "TSK_~AAAAAAAA",
        "wrt_~aaaaaaaa",
    ],
)
def test_what_is_not_shortened_goes_to_the_daemon_as_it_is(told: str) -> None:
    one, pages = session("tsk_" + "a" * 35)
    assert whole_task(one, told) == told
    assert pages.asked == 0


def test_no_more_than_a_bounded_number_of_pages_is_looked_through() -> None:
    one, pages = session(*(f"tsk_{number:035d}" for number in range(100)))
    with pytest.raises(BadInputError, match="no task among the newest"):
        whole_task(one, "tsk_~bbbbbbbb")
    assert pages.asked == 10
