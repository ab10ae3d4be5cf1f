from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.tool import BadTemplateError, parse_template

PIECES = st.lists(st.sampled_from(["a", "/", "b", "{x}", "{+y}", "?", "ab"]), max_size=8)


@pytest.mark.parametrize(
    ("template", "stands_for", "and_not"),
    [
        ("file:///a", ["file:///a"], ["file:///a/", "file:///", ""]),
        ("file:///{p}", ["file:///a", "file:///"], ["file:///a/b", "file:///a?b", "file://a"]),
        ("file:///{+p}", ["file:///a/b?c#d"], ["files:///a"]),
        ("x:{a}/{b}.txt", ["x:1/2.txt", "x:/.txt"], ["x:1/2/3.txt", "x:12.txt", "x:1/2.txt/"]),
        ("x:{a}{b}", ["x:", "x:ab"], ["x:a/b"]),
        ("x:{?q}", ["x:?q=1"], ["y:?q=1"]),
    ],
)
def test_a_template_stands_for_the_uris_that_it_can_make(
    template: str, stands_for: list[str], and_not: list[str]
) -> None:
    found = parse_template(template)
    assert [one for one in stands_for if not found.stands_for(one)] == []
    assert [one for one in and_not if found.stands_for(one)] == []


@given(PIECES, st.text(alphabet="ab/?", max_size=12))
def test_it_answers_as_the_expression_that_it_stands_for(pieces: list[str], uri: str) -> None:
    known = {"{x}": "[^/?#]*", "{+y}": ".*"}
    pattern = "".join(known.get(one, re.escape(one)) for one in pieces)
    expected = re.fullmatch(pattern, uri, re.DOTALL) is not None
    assert parse_template("".join(pieces)).stands_for(uri) == expected


@pytest.mark.parametrize("text", ["{", "}", "a{b", "a}b{", "{a{b}}", "{x}" * 17, "a" * 2049])
def test_what_can_not_be_matched_is_no_template(text: str) -> None:
    with pytest.raises(BadTemplateError):
        parse_template(text)


def test_no_template_takes_long() -> None:
    template = parse_template("{+a}a" * 16)
    start = time.process_time()
    assert not template.stands_for("a" * 8191 + "b")
    assert time.process_time() - start < 1.0
