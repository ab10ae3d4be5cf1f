from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import MAX_TOOL_NAME, ToolNameError, parse_tool_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("git__git_log", ("git", "git_log")),
        ("my_server-2__DATA.export_v2", ("my_server-2", "DATA.export_v2")),
        ("a___b", ("a", "_b")),
        ("a__b__c", ("a", "b__c")),
        ("0__0", ("0", "0")),
    ],
)
def test_a_tool_name_splits_at_its_first_two_underscores(text: str, parts: tuple[str, str]) -> None:
    assert parse_tool_name(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "__", "git", "git__", "__log", "Git__log", "git_log", "_git__log", "-git__log", "git__log\n",
        "git__log ", " git__log", "git__lo g", "git__lo/g", "git__l\u00f6g", "git__lo\u0261", "g\u0456t__log",
        "git__-log", "git__.", "git__..", "git.x__log", "git__log\x00", "git__\uff11", "git__" + "x" * 124,
    ],
)  # fmt: skip  # a list of names reads better as names
def test_what_is_no_tool_name_is_refused(text: str) -> None:
    with pytest.raises(ToolNameError):
        parse_tool_name(text)


def test_a_tool_name_has_at_most_128_characters() -> None:
    longest = "git__" + "x" * 123
    assert len(longest) == MAX_TOOL_NAME
    parse_tool_name(longest)


@given(
    st.from_regex(r"[a-z0-9](_?[a-z0-9-]){0,9}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True).filter(str.isascii),
)
def test_server_and_tool_joined_split_into_the_same_two(server: str, tool: str) -> None:
    assert parse_tool_name(f"{server}__{tool}") == (server, tool)
