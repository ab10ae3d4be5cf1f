from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.errors import MalformedError
from taskbound.core.tool import (
    BadServerNameError,
    BadToolNameError,
    DuplicateToolError,
    ForeignCharacterError,
    LookAlikeToolError,
    join_tool_name,
    parse_server_name,
    parse_tool_name,
    require_distinct,
)

SERVERS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
TOOLS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}", fullmatch=True)


@given(SERVERS, TOOLS)
def test_a_joined_name_splits_into_the_two_that_were_joined(server: str, tool: str) -> None:
    assert parse_tool_name(join_tool_name(server, tool)) == (server, tool)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("git__git_log", ("git", "git_log")),
        ("a__b__c", ("a", "b__c")),
        ("a___b", ("a", "_b")),
        ("0-9__DATA_EXPORT.v2", ("0-9", "DATA_EXPORT.v2")),
    ],
)
def test_the_first_double_underscore_ends_the_server(name: str, parts: tuple[str, str]) -> None:
    assert parse_tool_name(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "git",
        "git_log",
        "git__",
        "git__-x",
        "git__.x",
        "git__a b",
        "git__a/b",
        "git__a\n",
        "git__a,b",
        "git__" + "a" * 124,
    ],
)
def test_a163_a_name_of_another_shape_is_refused(name: str) -> None:
    with pytest.raises(BadToolNameError):
        parse_tool_name(name)


@pytest.mark.parametrize(
    "name", ["Git__x", "__x", "g_t__x", "-git__x", "git.v2__x", "a b__x", "a" * 33 + "__x", "git\n__x"]
)
def test_a163_what_can_not_name_a_server_is_refused(name: str) -> None:
    with pytest.raises(BadServerNameError):
        parse_tool_name(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("g\u0456t__log", "U+0456"),  # Cyrillic i
        ("git__l\u043eg", "U+043E"),  # Cyrillic o
        ("git__log\u200b", "U+200B"),  # zero-width space
        ("git\u200d__log", "U+200D"),
        ("\uff47it__log", "U+FF47"),  # full-width g
        ("git\u02cd\u02cd__log", "U+02CD"),  # modifier low macron
        ("git__log\u202e", "U+202E"),
    ],
)
def test_a163_a_character_beyond_ascii_is_refused_by_its_number(name: str, code: str) -> None:
    with pytest.raises(ForeignCharacterError) as caught:
        parse_tool_name(name)
    assert code in caught.value.message
    assert caught.value.message.isprintable()


def test_a_name_at_the_limit_passes_and_one_beyond_it_does_not() -> None:
    longest = "s__" + "t" * 125
    assert len(longest) == 128
    assert parse_tool_name(longest) == ("s", "t" * 125)
    with pytest.raises(BadToolNameError):
        parse_tool_name(longest + "t")
    assert parse_server_name("s" * 32) == "s" * 32


def test_a_joined_name_with_a_server_that_is_none_is_refused() -> None:
    with pytest.raises(BadServerNameError):
        join_tool_name("a__b", "c")


@pytest.mark.parametrize("pair", [("a", "a"), ("x__y", "x__y")])
def test_a163_a_name_that_stands_twice_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(DuplicateToolError):
        require_distinct(pair)


@pytest.mark.parametrize(
    "pair",
    [
        ("read", "Read"),
        ("git_log", "git-log"),
        ("git.log", "git_log"),
        ("page1", "pagel"),
        ("getItem", "getltem"),
        ("file0", "fileO"),
        ("modern", "modem"),
    ],
)
def test_a163_names_that_are_not_told_apart_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(LookAlikeToolError) as caught:
        require_distinct(pair)
    assert all(name in caught.value.message for name in pair)


def test_names_that_are_told_apart_pass() -> None:
    require_distinct(["git_log", "git_logs", "git_show", "gitlog2"])


@given(st.lists(st.text(alphabet=string.printable + "\u0456\u200b", max_size=20), max_size=6))
def test_distinct_names_pass_or_are_refused_with_a_named_error(names: list[str]) -> None:
    try:
        require_distinct(names)
    except (DuplicateToolError, LookAlikeToolError):
        return
    assert len(set(names)) == len(names)


@given(st.text(max_size=200))
def test_any_text_is_one_name_or_one_named_error_whose_words_are_one_line(text: str) -> None:
    try:
        server, tool = parse_tool_name(text)
    except MalformedError as error:
        refused = error.message
    else:
        refused = ""
        assert text == f"{server}__{tool}"
    assert refused == "" or refused.isprintable()
    assert len(refused) < 300
