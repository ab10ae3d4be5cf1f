from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.wire.mcp.message import LineCutter, Refused, require_one_line
from taskbound.wire.mcp.task import BareReturnError, HalfMessageError, LineSeparatorError

if TYPE_CHECKING:
    from taskbound.wire.mcp.message import Cut

PIECES = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"{}", b"\xe2\x80\xa8", b"\xff"]), max_size=30
)


def cut(raw: bytes, places: list[int], *, limit: int = 20) -> list[Cut]:
    cutter = LineCutter(limit)
    found: list[Cut] = []
    for start, end in pairwise((0, *sorted(places), len(raw))):
        found += cutter.feed(raw[start:end])
    rest = cutter.finish()
    return found + ([rest] if rest is not None else [])


def facts(some: list[Cut]) -> list[object]:
    return [one if isinstance(one, bytes) else (one.error.code, one.size, one.sha256) for one in some]


@given(PIECES, st.data())
def test_a_stream_is_the_same_lines_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(pieces)
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    assert facts(cut(raw, places)) == facts(cut(raw, []))


@given(PIECES)
def test_no_byte_is_lost_or_made_up(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    expected = [one.removesuffix(b"\r") for one in raw.split(b"\n")[:-1]]
    rest = raw.split(b"\n")[-1]
    found = [one if isinstance(one, bytes) else one.raw for one in cut(raw, [], limit=10_000)]
    assert found == [one for one in expected if one] + ([rest] if rest else [])


def test_a_line_feed_ends_a_line_and_nothing_else_does() -> None:
    separated = "a\u2028b\u2029c\u0085d\x0be\x0cf".encode()
    assert cut(separated + b"\nnext\n", [], limit=100) == [separated, b"next"]


def test_one_carriage_return_before_the_line_feed_is_left_out() -> None:
    assert cut(b"{}\r\n", []) == [b"{}"]
    assert cut(b"{}\r\n", [3]) == [b"{}"]


@pytest.mark.parametrize("raw", [b"a\rb\n", b"\ra\n", b"a\r\r\n", b'{"a":1}\r{"b":2}\n'])
def test_a_carriage_return_inside_a_line_refuses_it(raw: bytes) -> None:
    (found,) = cut(raw, [])
    assert isinstance(found, Refused)
    assert isinstance(found.error, BareReturnError)


def test_an_empty_line_is_nothing() -> None:
    assert cut(b"\n\n\r\na\n\n", []) == [b"a"]


def test_what_is_left_at_the_end_is_half_a_message() -> None:
    (first, rest) = cut(b"a\n{}", [])
    assert first == b"a"
    assert isinstance(rest, Refused)
    assert isinstance(rest.error, HalfMessageError)
    assert (rest.size, rest.sha256, rest.raw) == (2, sha256(b"{}").hexdigest(), b"{}")


def test_a_line_at_the_limit_passes_and_one_beyond_it_does_not() -> None:
    assert cut(b"x" * 20 + b"\n", []) == [b"x" * 20]
    assert cut(b"x" * 20 + b"\r\n", []) == [b"x" * 20]
    (found,) = cut(b"x" * 21 + b"\n", [])
    assert isinstance(found, Refused)
    assert (found.error.code, found.size) == ("too-large", 21)


def test_a_line_over_the_limit_is_counted_and_hashed_and_never_held() -> None:
    cutter = LineCutter(20)
    for _ in range(1000):
        assert cutter.feed(b"y" * 100) == []
    assert cutter.overflowing
    assert sum(map(len, cutter._held)) == 0  # noqa: SLF001 -- that it holds nothing is the point
    (found, after) = cutter.feed(b"\nok\n")
    assert isinstance(found, Refused)
    assert (found.size, found.sha256) == (100_000, sha256(b"y" * 100_000).hexdigest())
    assert after == b"ok"
    assert not cutter.overflowing


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085"])
def test_canonical_text_in_which_some_servers_end_a_line_refuses(odd: str) -> None:
    with pytest.raises(LineSeparatorError) as caught:
        require_one_line(f'{{"text":"a{odd}b"}}'.encode())
    assert f"U+{ord(odd):04X}" in caught.value.message


@pytest.mark.parametrize("text", ["", "plain", "é", "\u2027", "\u202a", "\u0084", "😀", "\xa0"])
def test_other_text_does_not(text: str) -> None:
    require_one_line(text.encode())
