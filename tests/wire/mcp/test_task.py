from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.wire.mcp.task import (
    MAX_SPAN,
    TASKS_EXTENSION,
    BadMcpTaskError,
    McpTask,
    TaskStatus,
    TaskSupport,
    declares_tasks,
    parse_task,
    parse_task_name,
    parse_ttl,
    support_of,
    task_members,
)

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

LEGACY: dict[str, JsonValue] = {
    "taskId": "t",
    "status": "working",
    "createdAt": "2026-07-28T00:00:00Z",
    "lastUpdatedAt": "2026-07-28T00:00:01Z",
    "ttl": 60_000,
    "pollInterval": 500,
}
ERAS = pytest.mark.parametrize("modern", [False, True])
SPANS = st.none() | st.integers(0, MAX_SPAN)
TASKS = st.builds(
    McpTask,
    name=st.from_regex(r"[!-~]{1,200}", fullmatch=True),
    status=st.sampled_from(TaskStatus),
    made=st.from_regex(r"[ -~]{0,64}", fullmatch=True),
    updated=st.from_regex(r"[ -~]{0,64}", fullmatch=True),
    ttl=SPANS,
    interval=SPANS,
    words=st.text(max_size=20),
)


def written(*, modern: bool, **changes: JsonValue) -> dict[str, JsonValue]:
    """The members in one of the revisions."""
    found = LEGACY | changes
    if modern:
        names = {"ttl": "ttlMs", "pollInterval": "pollIntervalMs"}
        return {names.get(name, name): value for name, value in found.items()}
    return found


@given(TASKS, st.booleans())
def test_a_task_is_read_as_it_was_written(task: McpTask, modern: bool) -> None:  # noqa: FBT001 -- drawn
    assert parse_task(task_members(task, modern=modern), modern=modern) == task


@ERAS
def test_each_revision_has_its_own_names_for_spans(*, modern: bool) -> None:
    with pytest.raises(BadMcpTaskError, match="ttl"):
        parse_task(written(modern=not modern), modern=modern)


@pytest.mark.parametrize(
    "wrong",
    [
        {"taskId": ""},
        {"taskId": "a" * 201},
        {"taskId": "two words"},
        {"taskId": "line\nend"},
        {"taskId": "t\u0430sk"},
        {"taskId": "t\x7f"},
        {"taskId": 7},
        {"taskId": None},
        {"status": "done"},
        {"status": "Working"},
        {"status": None},
        {"status": ["working"]},
        {"createdAt": 1},
        {"createdAt": "x" * 65},
        {"lastUpdatedAt": None},
        {"lastUpdatedAt": "now\x1b[2J"},
        {"ttl": -1},
        {"ttl": 0.5},
        {"ttl": True},
        {"ttl": "60000"},
        {"pollInterval": -1},
        {"pollInterval": False},
        {"pollInterval": "soon"},
        {"statusMessage": 1},
    ],
)
@ERAS
def test_what_is_not_what_mcp_says_is_refused_whole(wrong: dict[str, JsonValue], *, modern: bool) -> None:
    parse_task(written(modern=modern), modern=modern)
    with pytest.raises(BadMcpTaskError):
        parse_task(written(modern=modern, **wrong), modern=modern)


@ERAS
def test_a_span_without_end_and_one_beyond_all_bounds_are_read(*, modern: bool) -> None:
    found = parse_task(written(modern=modern, ttl=None, pollInterval=1e300), modern=modern)
    assert (found.ttl, found.interval) == (None, MAX_SPAN)


def test_what_else_stands_there_passes_and_long_words_are_cut() -> None:
    found = parse_task(LEGACY | {"statusMessage": "x" * 5_000, "more": [1]}, modern=False)
    assert found.words == "x" * 1_000


@pytest.mark.parametrize(("value", "ttl"), [({}, None), ({"ttl": 0}, 0), ({"ttl": 1e3}, 1_000)])
def test_a_client_may_say_how_long_its_task_is_wanted(value: JsonValue, ttl: int | None) -> None:
    assert parse_ttl(value) == ttl


@pytest.mark.parametrize("value", [None, [], "x", {"ttl": None}, {"ttl": -1}, {"ttl": 1.5}, {"other": 1}])
def test_a_wish_for_a_task_that_is_none_is_refused(value: JsonValue) -> None:
    with pytest.raises(BadMcpTaskError):
        parse_ttl(value)


@pytest.mark.parametrize(
    ("capabilities", "declared"),
    [
        ({"extensions": {TASKS_EXTENSION: {}}}, True),
        ({"extensions": {TASKS_EXTENSION: True}}, False),
        ({"extensions": {"io.modelcontextprotocol/Tasks": {}}}, False),
        ({"extensions": [TASKS_EXTENSION]}, False),
        ({"tasks": {}}, False),
        ({}, False),
    ],
)
def test_the_extension_is_declared_by_its_name_and_an_object(
    capabilities: dict[str, JsonValue], *, declared: bool
) -> None:
    assert declares_tasks(capabilities) is declared


@pytest.mark.parametrize(
    ("definition", "support"),
    [
        ({"execution": {"taskSupport": "required"}}, TaskSupport.REQUIRED),
        ({"execution": {"taskSupport": "optional"}}, TaskSupport.OPTIONAL),
        ({"execution": {"taskSupport": "forbidden"}}, TaskSupport.FORBIDDEN),
        ({"execution": {"taskSupport": "REQUIRED"}}, TaskSupport.FORBIDDEN),
        ({"execution": {}}, TaskSupport.FORBIDDEN),
        ({"execution": None}, TaskSupport.FORBIDDEN),
        ({}, TaskSupport.FORBIDDEN),
    ],
)
def test_a_tool_that_does_not_say_so_is_no_task(
    definition: dict[str, JsonValue], support: TaskSupport
) -> None:
    assert support_of(definition) is support


def test_three_of_the_five_states_are_the_end() -> None:
    assert [one.value for one in TaskStatus if one.is_terminal] == ["completed", "failed", "cancelled"]


def test_a_name_is_the_text_itself() -> None:
    assert parse_task_name("a" * 200) == "a" * 200
