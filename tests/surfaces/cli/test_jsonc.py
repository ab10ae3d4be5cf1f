from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.surfaces.cli.clients.files import BadConfigError
from taskbound.surfaces.cli.clients.jsonc import parse_jsonc

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_what_json_says_is_what_is_read(value: object, indent: int | str | None, ascii_only: bool) -> None:  # noqa: FBT001 -- hypothesis gives arguments by place
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_jsonc(text).root.value == value


def test_comments_and_trailing_commas_are_read_over() -> None:
    text = (
        '// head\n{ /* a */ "a" /* b */ : /* c */ [1, 2, /* d */ ], // e\n'
        ' "b": {"c": "// no comment",}, }\n// end'
    )
    document = parse_jsonc(text)
    assert document.root.value == {"a": [1, 2], "b": {"c": "// no comment"}}
    assert [text[a:b] for a, b in document.comments] == [
        "// head", "/* a */", "/* b */", "/* c */", "/* d */", "// e", "// end",
    ]  # fmt: skip  # a list of words reads better as words


def test_every_member_knows_its_place() -> None:
    text = '{"a" : {"b":1} ,"c":[]}'
    first, second = parse_jsonc(text).root.members
    assert text[first.start : first.end] == '"a" : {"b":1}'
    assert text[first.comma] == ","
    assert text[second.start : second.end] == '"c":[]'
    assert second.comma == -1


BROKEN = [
    "",
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1 "b":2}',
    "{,}",
    "[1 2]",
    "[,]",
    '"a',
    '"a\nb"',
    '"\\x"',
    '"\\ud800"',
    "{'a':1}",
    "{a:1}",
    "NaN",
    "Infinity",
    "+1",
    "01",
    "1.",
    ".5",
    "tru",
    "/* ",
    "{} {}",
    '{"a":1}x',
    "\x00",
    "9" * 5_000,
    "-1e" + "9" * 5_000,
    '{"a":1,,}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_json_with_comments_is_refused(text: str) -> None:
    with pytest.raises(BadConfigError, match="line 1"):
        parse_jsonc(text)


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(BadConfigError, match="line 3, column 4: the name `a` stands twice"):
        parse_jsonc('{\n"a":1,\n"a":2}')


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BadConfigError, match="nested deeper"):
        parse_jsonc("[" * 5000 + "]" * 5000)


def test_an_error_shows_hostile_text_as_escapes() -> None:
    with pytest.raises(BadConfigError) as caught:
        parse_jsonc('{"a": \x1b[2J\u202e}')
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ghp_CANARY}',
        '{"a": "ghp_CANARY',
        '{"a" "ghp_CANARY"}',
        '{"a": 1 "ghp_CANARY": 2}',
        "{ghp_CANARY: 1}",
        '["ghp_CANARY\\x"]',
        "{} ghp_CANARY",
        '{"ghp_CANARYCANARYCANARY": 1, "ghp_CANARYCANARYCANARY": 2}',
    ],
)
def test_no_error_quotes_what_stands_in_a_configuration(text: str) -> None:
    with pytest.raises(BadConfigError, match=r"line 1, column [0-9]+: ") as caught:
        parse_jsonc(text)
    assert "CANARY" not in f"{caught.value.message}{caught.value.advice}"
