from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskbound.core.action import TextFlag, TextKind, canonical, escape_text, flag_text, parse_document
from taskbound.core.action.text import escape_rest, kind_of, kinds_in, places_in
from tests.core.action.values import json_values, tricky_text
from tests.unescaping import NotShownError, unescape_text

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue

any_text = st.text() | tricky_text

# What must be flagged, and as what, and how it is shown. All characters by their code points.
HIDDEN = [
    ("a033", "report\u202efdp.exe", {TextKind.BIDI}, r"report\u{202E}fdp.exe"),
    ("a033", "/home/\u2067u\u2069/x", {TextKind.BIDI}, r"/home/\u{2067}u\u{2069}/x"),
    ("a033", "rm \u200e-rf \u061c/", {TextKind.BIDI}, r"rm \u{200E}-rf \u{61C}/"),
    ("a034", "del\u200bete", {TextKind.ZERO_WIDTH}, r"del\u{200B}ete"),
    ("a034", "del\u200dete\u200c", {TextKind.ZERO_WIDTH}, r"del\u{200D}ete\u{200C}"),
    ("a034", "de\u00adlete\u2060\ufeff", {TextKind.ZERO_WIDTH}, r"de\u{AD}lete\u{2060}\u{FEFF}"),
    ("a034", "a\u3164b\u115fc\u2800", {TextKind.ZERO_WIDTH}, r"a\u{3164}b\u{115F}c\u{2800}"),
    ("a035", "hi\U000e0068\U000e0069\U000e0001", {TextKind.TAG}, r"hi\u{E0068}\u{E0069}\u{E0001}"),
    ("a036", "a\ufe0f\U000e0100\u180b", {TextKind.VARIATION_SELECTOR}, r"a\u{FE0F}\u{E0100}\u{180B}"),
    ("a036", "a\ue000\U000f0000", {TextKind.PRIVATE_USE}, r"a\u{E000}\u{F0000}"),
    ("a037", "\u0430dmin", {TextKind.MIXED_SCRIPT}, r"\u{430}dmin"),
    ("a037", "g\u03bf to", {TextKind.MIXED_SCRIPT}, r"g\u{3BF} to"),
    ("a037", "\u0430\u0440\u0435", {TextKind.CONFUSABLE}, r"\u{430}\u{440}\u{435}"),
    ("a037", "to \u0455\u0440\u0435", {TextKind.CONFUSABLE}, r"to \u{455}\u{440}\u{435}"),
    ("a037", "\uff52\uff4d -rf", {TextKind.CONFUSABLE}, r"\u{FF52}\u{FF4D} -rf"),
    ("a037", "\U0001d5c4\u2460\u00b2", {TextKind.CONFUSABLE}, r"\u{1D5C4}\u{2460}\u{B2}"),
    ("a037", "a\u2215b\u2044c\u2236d", {TextKind.CONFUSABLE}, r"a\u{2215}b\u{2044}c\u{2236}d"),
    ("a038", "\u212aey", {TextKind.CONFUSABLE, TextKind.NOT_NFC}, r"\u{212A}ey"),
    ("a038", "pa\u017f\u017fword", {TextKind.CONFUSABLE}, r"pa\u{17Fx2}word"),
    ("a038", "adm\u0131n \u0130D", {TextKind.CONFUSABLE}, r"adm\u{131}n \u{130}D"),
    ("a039", "cafe\u0301", {TextKind.NOT_NFC}, r"cafe\u{301}"),
    ("a039", "\u1112\u1161\u11ab", {TextKind.NOT_NFC}, "\u1112" + r"\u{1161}\u{11AB}"),
    ("a039", "\u212b", {TextKind.NOT_NFC}, r"\u{212B}"),
    ("a040", "1\u0336\u0337" * 2, {TextKind.STRAY_MARK}, r"1\u{336}\u{337}1\u{336}\u{337}"),
    ("a040", "x" + "\u0336" * 1000, {TextKind.STRAY_MARK}, "x" + "\u0336" * 5 + r"\u{336x995}"),
    ("a041", "\x1b[2J\x1b[1A", {TextKind.CONTROL}, r"\u{1B}[2J\u{1B}[1A"),
    ("a041", "\x1b]8;;http://e\x07x\x9b1m", {TextKind.CONTROL}, r"\u{1B}]8;;http://e\u{7}x\u{9B}1m"),
    ("a042", "safe\rEVIL", {TextKind.CONTROL}, r"safe\rEVIL"),
    ("a042", "safe\b\b\b\bEVIL\x7f\x00", {TextKind.CONTROL}, r"safe\u{8x4}EVIL\u{7F}\u{0}"),
    ("a043", "ok\nApproved by: alice", {TextKind.LAYOUT}, r"ok\nApproved by: alice"),
    ("a043", "ok\u2028By\u2029me\x85x\x0b", {TextKind.CONTROL}, r"ok\u{2028}By\u{2029}me\u{85}x\u{B}"),
    ("a045", "ls" + " " * 10_000 + "; rm", {TextKind.GAP}, r"ls\u{20x10000}; rm"),
    ("a045", "ls" + "\n" * 500 + "; rm", {TextKind.LAYOUT}, r"ls\u{Ax500}; rm"),
    ("a045", "git ", {TextKind.EDGE_SPACE}, r"git\u{20}"),
    ("a045", " git", {TextKind.EDGE_SPACE}, r"\u{20}git"),
    ("a045", "a\u00a0b\u3000c", {TextKind.ODD_SPACE}, r"a\u{A0}b\u{3000}c"),
    ("a016", "a\ud800b", {TextKind.LONE_SURROGATE}, r"a\u{D800}b"),
    ("a036", "a\uffffb\u0378", {TextKind.UNASSIGNED}, r"a\u{FFFF}b\u{378}"),
]  # fmt: skip -- one row a line, as a table is read

# What people write, in several scripts, and nothing of it is hidden.
PLAIN = [
    "",
    "a",
    "Hello, world! 1 + 1 = 2; 100% of $5 (or ~3) @ home #1 \"'`^_|<>?",
    "Stra\u00dfe, \u00e9t\u00e9, na\u00efve, \u0141\u00f3d\u017a, \u0130stanbul".replace("\u0130", "I"),
    "it\u2019s \u201cquoted\u201d \u2014 and so on\u2026 \u20ac5",
    "\u041e\u0442\u043f\u0440\u0430\u0432\u044c email \u043d\u0430 test@example.org",
    "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "iPhone\u624b\u6a5f\u306e\u30ab\u30bf\u30ab\u30ca\u3067\u3059\u3002",
    "\u30e9\u30fc\u30e1\u30f3 \u4eba\u3005",
    "\ud55c\uad6d\uc5b4 text",
    "\u0645\u0631\u062d\u0628\u0627 \u0661\u0662\u0663",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f",
    "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f600 \U0001f680 ok",
    "a" + " " * 39 + "b",
    "5 \u00b5s \u00d7 3 \u00b0C \u2248 \u03c0",
]


@pytest.mark.parametrize(("number", "text", "kinds", "shown"), HIDDEN)
def test_g2_what_is_hidden_is_flagged_and_shown_as_an_escape(
    number: str, text: str, kinds: set[TextKind], shown: str
) -> None:
    assert number
    assert kinds_in(text) == kinds
    assert escape_text(text) == shown
    assert unescape_text(shown) == text


@pytest.mark.parametrize("text", PLAIN)
def test_g2_what_people_write_is_neither_flagged_nor_escaped(text: str) -> None:
    assert kinds_in(text) == frozenset()
    assert escape_text(text) == text


@settings(max_examples=2000, deadline=None)
@given(any_text)
@example("\n\u0301")
@example("\\\u0301")
@example("A\ufe00\u0300")
@example("\u0430\u0440\u0435 \u0436d")
def test_i32_text_that_was_shown_can_be_read_back(text: str) -> None:
    assert unescape_text(escape_text(text)) == text


@settings(max_examples=2000, deadline=None)
@given(any_text)
@example("\n\u0301")
@example("e\u0301")
@example("\u1100\u200b\u1161")
@example("\u0430\u0440\u0435 \u0436d")
def test_i32_what_is_shown_hides_nothing(text: str) -> None:
    shown = escape_text(text)
    assert shown.isprintable()
    assert unicodedata.is_normalized("NFC", shown)
    # The letter of a short escape may stand beside another script's: `\n` and a Cyrillic word.
    assert kinds_in(shown) <= {TextKind.MIXED_SCRIPT}


@settings(max_examples=1000, deadline=None)
@given(any_text)
def test_i32_what_is_flagged_is_what_is_shown_as_an_escape(text: str) -> None:
    assert bool(kinds_in(text)) == bool(places_in(text))
    assert (escape_text(text) != text) == (bool(places_in(text)) or "\\" in text)


@settings(max_examples=1000, deadline=None)
@given(any_text, any_text)
def test_i32_two_texts_are_never_shown_alike(left: str, right: str) -> None:
    assert (escape_text(left) == escape_text(right)) == (left == right)


@settings(max_examples=1000, deadline=None)
@given(st.text("\\u{}x0123456789ABCDEFnrt a\n\x1b", max_size=20))
@example("\\")
@example("\\u{110000}")
@example("\\u{61}")
@example("\\u{A}")
@example("\\u{1b}")
@example("\\u{1B}\\u{1B}")
@example("\\u{1Bx1}")
@example("\\u{1Bx9999999}")
@example("\\x")
@example("a\n")
def test_i32_only_what_is_shown_can_be_read_back(shown: str) -> None:
    try:
        text = unescape_text(shown)
    except NotShownError:
        return
    assert escape_text(text) == shown


@pytest.mark.parametrize(
    "shown", ["\\", "\\u{110000}", "\\u{61}", "\\u{A}", "\\u{1b}", "\\u{1Bx1}", "\\x", "a\n"]
)
def test_an_escape_that_is_never_shown_is_refused(shown: str) -> None:
    with pytest.raises(NotShownError):
        unescape_text(shown)


def test_i33_no_text_can_imitate_an_escape() -> None:
    assert escape_text(r"\u{202E} and \n") == r"\\u{202E} and \\n"


def test_every_control_is_escaped() -> None:
    controls = [chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029)]
    for char in controls:
        assert kind_of(char) in {TextKind.CONTROL, TextKind.LAYOUT}
        assert escape_text(f"a{char}b") not in {f"a{char}b", "ab"}
        assert escape_text(f"a{char}b").isprintable()


def test_every_format_and_tag_character_and_variation_selector_is_flagged() -> None:
    for code in range(0x110000):
        char = chr(code)
        if unicodedata.category(char) in {"Cf", "Cc", "Co", "Cs", "Zl", "Zp"}:
            assert kind_of(char) is not None
        if "VARIATION SELECTOR" in unicodedata.name(char, "") or 0xE0000 <= code <= 0xE0FFF:
            assert kind_of(char) is not None


def test_flags_name_the_place_and_whether_it_is_the_key() -> None:
    value = parse_document(
        rb'{"b":[{"to\u200b":"x\u202e"},"ok",["\n"]],"a":"\u0007","plain":[1,null,true,"x"]}'
    )
    assert flag_text(value) == (
        TextFlag(path="/a", kind=TextKind.CONTROL),
        TextFlag(path=r"/b/0/to\u{200B}", kind=TextKind.ZERO_WIDTH, in_key=True),
        TextFlag(path=r"/b/0/to\u{200B}", kind=TextKind.BIDI),
        TextFlag(path="/b/2/0", kind=TextKind.LAYOUT),
    )


def test_each_kind_in_a_string_has_one_flag() -> None:
    assert flag_text("\u200b\u202e\u200b\n\n") == (
        TextFlag(path="", kind=TextKind.BIDI),
        TextFlag(path="", kind=TextKind.LAYOUT),
        TextFlag(path="", kind=TextKind.ZERO_WIDTH),
    )


def test_a_path_is_a_json_pointer_that_is_safe_to_show() -> None:
    (flag,) = flag_text({"a/b~c": {"\x1b[2J/": ["x\u200b"]}})[1:]
    assert flag.path == r"/a~1b~0c/\u{1B}[2J~1/0"


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_flags_depend_on_the_canonical_text_alone(value: JsonValue) -> None:
    assert flag_text(parse_document(canonical(value))) == flag_text(value)


def test_a_flood_of_flags_ends_with_unread() -> None:
    flags = flag_text(["\x07"] * 10_000)
    assert len(flags) == 257
    assert flags[-1] == TextFlag(path="/256", kind=TextKind.UNREAD)


def test_a_flood_of_text_ends_with_unread() -> None:
    flags = flag_text(["\u00e9" * 60_000, "\u00e9" * 60_000, "\x07"])
    assert flags == (TextFlag(path="/1", kind=TextKind.UNREAD),)


def test_a_flood_of_strings_ends_with_unread() -> None:
    (flag,) = flag_text(["a"] * 100_000)
    assert flag.kind is TextKind.UNREAD


def test_a_large_plain_text_is_read_to_its_end() -> None:
    flags = flag_text("a" * 1_000_000 + "\x07")
    assert flags == (TextFlag(path="", kind=TextKind.CONTROL),)


@given(any_text, any_text)
@example("\u1161", "\u212a")
def test_a_sentence_with_parts_that_were_escaped_is_shown_with_nothing_hidden_and_no_escape_of_an_escape(
    before: str, after: str
) -> None:
    part = escape_text(f".{before}.")
    sentence = escape_rest(f"`{part}` is what {after} says")
    # In a text that is not NFC, whatever might be composed is written out too, also what alone might not be.
    assert sentence.startswith(f"`{part}` is what ") or not unicodedata.is_normalized("NFC", after)
    assert not kinds_in(sentence)
    assert escape_rest(sentence) == sentence
