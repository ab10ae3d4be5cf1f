"""How a task goes, as the progress of its call: other words each time, and numbers that do not fall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.upstream.mcp.task.waiting import ProgressReporter

if TYPE_CHECKING:
    from collections.abc import Mapping

SAID = st.one_of(
    st.sampled_from(["", "a", "b", "of the task", "c"]),
    st.integers(0, 50),
    st.floats(0, 50, allow_nan=False),
)


@given(st.lists(SAID))
def test_numbers_do_not_fall_where_the_server_s_do_not(each: list[str | float]) -> None:
    told: list[Mapping[str, Any]] = []
    teller = ProgressReporter(told.append)
    least: float = 0
    for one in each:
        if isinstance(one, str):
            teller.say(one, "task")
        else:
            least = max(least, one)
            teller.heard({"progress": least, "total": 100, "progressToken": 1})
    numbers = [one["progress"] for one in told]
    assert numbers == sorted(numbers)
    assert all(one.get("total", 1000) >= one["progress"] for one in told)
    assert not any("task" in one.get("message", "") for one in told)


def test_the_same_words_are_told_once() -> None:
    told: list[Mapping[str, Any]] = []
    teller = ProgressReporter(told.append)
    for words in ("a", "a", "", "b", "a"):
        teller.say(words, "x")
    assert [(one["message"], one["progress"]) for one in told] == [("a", 1), ("b", 2), ("a", 3)]


def test_what_is_no_number_is_handed_on_as_it_is() -> None:
    told: list[Mapping[str, Any]] = []
    teller = ProgressReporter(told.append)
    teller.say("a", "x")
    teller.heard({"progress": True, "total": "x"})
    assert told[1:] == [{"progress": True, "total": "x"}]
