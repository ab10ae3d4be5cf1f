from __future__ import annotations

from itertools import product

import pytest
import yaml

from taskbound.core.action.canonical import JsonValue
from taskbound.core.errors import MalformedError
from taskbound.wire.document import read_document


def read(text: str) -> JsonValue:
    return read_document(text.encode(), "f.yaml").value


def refused(raw: bytes | str, name: str = "f.yaml") -> MalformedError:
    with pytest.raises(MalformedError) as caught:
        read_document(raw.encode() if isinstance(raw, str) else raw, name)
    return caught.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("0", 0),
        ("-17", -17),
        ("1.0", 1),
        ("12.50", 12.5),
        ("1e3", 1000),
        ("9007199254740991", 9_007_199_254_740_991),
        ("yes", "yes"),
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("y", "y"),
        ("2026-11-24", "2026-11-24"),
        ("2026-11-24T19:30:00Z", "2026-11-24T19:30:00Z"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("1.2.3", "1.2.3"),
        ("/home/u", "/home/u"),
        ("https://a.example/x", "https://a.example/x"),
        ("it's", "it's"),
        ("'a \\n b'", "a \\n b"),
        ("'don''t'", "don't"),
        (r'"a\tb\u00e9\/"', "a\tbé/"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"~"', "~"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("|-\n  a\n", "a"),
        ("{a: [1, 2], b: {}}", {"a": [1, 2], "b": {}}),
        ("---\n# a comment\na: 1 # one\n...\n", {"a": 1}),
        ("a:\n- 1\n- b: 2\n  c: 3\n", {"a": [1, {"b": 2, "c": 3}]}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("ключ: 值\n", {"ключ": "值"}),
    ],
)
def test_yaml_is_read_as_every_reader_of_yaml_1_2_reads_it(written: str, value: JsonValue) -> None:
    found = read(written)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        *("~", "Null", "NULL", "True", "TRUE", "False", "=", "<<"),
        *(
            "0x1F",
            "0o17",
            "017",
            "00",
            "08",
            "0b1",
            "1_000",
            "+1",
            ".5",
            "1.",
            "-.5",
            "1,000",
            "12e",
            "1_0e3",
        ),
        *(
            "12:30",
            "12:30:45",
            "190:20:30.15",
            ".inf",
            "-.INF",
            ".nan",
            ".NaN",
            "inf",
            "nan",
            "-0x1",
            "+.5e1",
        ),
    ],
)
def test_what_some_reader_takes_for_something_else_is_refused_unless_it_is_quoted(text: str) -> None:
    if text == "12e":  # no reader's number
        assert read(f"a: {text}") == {"a": text}
        return
    error = refused(f"a: 1\nb: {text}\n")
    assert (error.code, error.where) == ("document-syntax", "f.yaml:2:4")
    assert "double quotes" in error.message
    assert read(f'b: "{text}"') == {"b": text}


def test_no_scalar_that_is_a_text_here_is_a_number_or_a_truth_to_a_reader_of_yaml_1_1_but_those_named() -> (
    None
):
    told = {"no", "No", "on", "off"}
    letters = "0123456789+-._:xoebEaf~ntyINF"
    for text in map("".join, product(letters, ["", *letters], ["", *letters])):
        try:
            found = read(f"[{text}]")
        except MalformedError:
            continue
        assert isinstance(found, list)
        (one,) = found
        if isinstance(one, str) and one not in told:
            assert isinstance(yaml.safe_load(f"[{text}]")[0], str), text


@pytest.mark.parametrize(
    ("text", "place", "code", "words"),
    [
        ("a: 1\nb: &x 2\n", "2:4", "document-syntax", "anchor"),
        ("a: &x [*x]\n", "1:4", "document-syntax", "anchor"),
        ("a: *x\n", "1:4", "document-syntax", "alias"),
        ("a: !!str 1\n", "1:4", "document-syntax", "tag"),
        ("a: ! 1\n", "1:4", "document-syntax", "tag"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4", "document-syntax", "tag"),
        ("<<: {a: 1}\n", "1:1", "document-syntax", "read differently"),
        ("%YAML 1.2\n---\na: 1\n", "1:1", "document-syntax", "directives"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", "1:1", "document-syntax", "directives"),
        ("a: 1\n---\nb: 2\n", "2:1", "document-syntax", "second document"),
        ("a: 1\nb:\n  c: 2\n  a: 3\n  c: 4\n", "5:3", "duplicate-key", "line 3"),
        ('{a: 1, "\\u0061": 2}', "1:8", "duplicate-key", "line 1"),
        ("a:\n\tb: 1\n", "2:1", "document-syntax", "a tab"),
        ('a: "x\ty"\n', "1:6", "document-syntax", "a tab"),
        ("a: b\x00c\n", "1:5", "document-syntax", "U+0000"),
        ("a: 1\n# \u202e evil\n", "2:3", "document-syntax", "U+202E"),
        ("a: x\u200by\n", "1:5", "document-syntax", "U+200B"),
        ("a: 1\u2028b: 2\n", "1:5", "document-syntax", "U+2028"),
        ("a: 1\x85b: 2\n", "1:5", "document-syntax", "U+0085"),
        ("a: 1\rb: 2\n", "1:5", "document-syntax", "U+000D"),
        ("\ufeffa: 1\n", "1:1", "byte-order-mark", "byte order mark"),
        ("", "1:1", "empty-document", "no document"),
        ("# nothing\n", "1:1", "empty-document", "no document"),
        ("a:\n", "1:3", "document-syntax", "nothing stands here"),
        ("{a, b}\n", "1:3", "document-syntax", "nothing stands here"),
        ("- \n- 1\n", "1:2", "document-syntax", "nothing stands here"),
        ("{a:1}\n", "1:5", "document-syntax", "nothing stands here"),
        ("1: a\n", "1:1", "document-syntax", "key must be a text"),
        ("true: a\n", "1:1", "document-syntax", "key must be a text"),
        ("? [a]\n: b\n", "1:3", "document-syntax", "key must be a text"),
        ("{{a: 1}: 2}\n", "1:2", "document-syntax", "key must be a text"),
        ("[a: 1]\n", "1:2", "document-syntax", "a pair stands in a list"),
        ("a: x\n  y\n", "1:4", "document-syntax", "several lines"),
        ('a: "x\n  y"\n', "1:4", "document-syntax", "several lines"),
        ("a: 'x\n  y'\n", "1:4", "document-syntax", "several lines"),
        ("a: >\n  x\n", "1:4", "document-syntax", "folded"),
        ("a: |2\n   x\n", "1:4", "document-syntax", "only `|`"),
        ('a: "\\x41"\n', "1:4", "document-syntax", "escape that JSON doesn't know"),
        ('a: "\\ud83d"\n', "1:4", "lone-surrogate", "surrogate"),
        ("a: 9007199254740993\n", "1:4", "number-range", "2^53"),
        ("a: 1e400\n", "1:4", "not-finite", "too large"),
        ("names: [*.example.org]\n", "1:9", "document-syntax", "must stand in double quotes"),
        ("name: *.example.org\n", "1:7", "document-syntax", "must stand in double quotes"),
        ("name: @x\n", "1:7", "document-syntax", "must stand in double quotes"),
        ("name: `x`\n", "1:7", "document-syntax", "must stand in double quotes"),
        ("a: [1, 2\n", "2:1", "document-syntax", "no YAML"),
        ("a: b: c\n", "1:5", "document-syntax", "no YAML"),
        ('a: "x\n', "2:1", "document-syntax", "no YAML"),
        ("a: 1\n b: 2\n", "1:4", "document-syntax", "several lines"),
        ("[" * 65 + "]" * 65, "1:65", "too-deep", "64 deep"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(text: str, place: str, code: str, words: str) -> None:
    error = refused(text)
    assert (error.code, error.where) == (code, f"f.yaml:{place}")
    assert words in error.message + error.advice
    line, caret = error.added_notes()
    assert all(one.isprintable() for one in (line, caret))
    assert caret.endswith("^")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * (1 << 20), "too-deep"),
        ("- " * (1 << 19), "too-deep"),
        ("? " * (1 << 19), "document-syntax"),
        ("{a: " * (1 << 18), "too-deep"),
        ("[" + "[]," * 70_000 + "]", "too-many-parts"),
        ("a: " + "x" * (1 << 20), "too-large"),
        ("a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" * 1000, "document-syntax"),
        ('"' + "x\n" * (1 << 18), "document-syntax"),
        ("a" * (1 << 20), None),
        ("9" * (1 << 20), "number-range"),
        ("&" * (1 << 20), "document-syntax"),
        ("*" * (1 << 20), "document-syntax"),
        ("'" * (1 << 20), None),
        ("#" * (1 << 20), "empty-document"),
        (" " * (1 << 20), "empty-document"),
        ("0_" * (1 << 19), "document-syntax"),
    ],
    ids=lambda one: str(one)[:12],
)
def test_a_megabyte_of_anything_is_one_value_or_one_error(text: str, code: str | None) -> None:
    if code is None:
        assert isinstance(read(text), str)
    else:
        assert refused(text).code == code


def test_what_is_shown_of_a_line_is_short_and_can_obey_no_terminal() -> None:
    error = refused("k" * 500 + ": \x1b[31m" + "x" * 500)
    line, caret = error.added_notes()
    assert len(line) < 120
    assert "\x1b" not in line
    assert line[caret.index("^") :].startswith("\\u{1B}")


@pytest.mark.parametrize("indent", [1, 4, 30, 35, 36, 37, 60, 200])
def test_the_caret_stands_below_the_place_however_far_it_is_indented(indent: int) -> None:
    line, caret = refused("a:\n" + " " * indent + "\u00e9\\ x: ~\n").added_notes()
    assert line[caret.index("^") :] == "~"
    assert "u{20" not in line
    shown = line.partition(" | ")[2]
    assert shown.startswith(" " * indent if indent < 30 else "…")
    assert "    " + " " * 36 not in caret.partition("|")[2]


def test_escapes_before_the_place_are_counted_as_they_are_shown() -> None:
    line, caret = refused("a: '" + "\\" * 60 + "': \u202e\n").added_notes()
    assert line[caret.index("^") :].startswith("\\u{202E}")
    assert len(caret) < 60
    line, caret = refused('"\u5b57\u5b57": ~\n').added_notes()
    assert (line.index("~"), caret.index("^")) == (14, 16), "two characters take two columns each"
