from __future__ import annotations

import pytest

from taskbound.core.errors import MalformedError
from taskbound.core.scope import ScopeSyntaxError, parse_scope
from taskbound.wire.document import Format, format_of, read_document


@pytest.mark.parametrize(
    ("name", "raw", "form"),
    [
        ("a.json", b"a: 1", Format.JSON),
        ("a.YAML", b"{}", Format.YAML),
        ("a.cases.yml", b"{}", Format.YAML),
        ("-", b' \n{"a": 1}', Format.JSON),
        ("-", b"[1]", Format.JSON),
        ("scope", b"a: 1", Format.YAML),
    ],
)
def test_a_document_is_json_or_yaml_by_its_name_or_by_how_it_begins(
    name: str, raw: bytes, form: Format
) -> None:
    assert format_of(name, raw) is form


@pytest.mark.parametrize(
    ("raw", "place", "code"),
    [
        (b'{"a": 1,\n "b": 2,\n "\\u0061": 3}', "3:2", "duplicate-key"),
        (b'{"a":\n x}', "2:2", "not-json"),
        (b'{"a": {"b": 9007199254740993}}', "1:13", "number-range"),
        (b'{"a": [1, 1e400]}', "1:11", "not-finite"),
        (b'{"a": "\\ud800"}', "1:7", "lone-surrogate"),
        (b'{"a": 1} x', "1:10", "trailing-data"),
        ('{"é": \n\x01}'.encode(), "2:1", "not-json"),
        (b"[" * 65 + b"]" * 65, "1:65", "too-deep"),
        (b"[" * (1 << 20), "1:65", "too-deep"),
        (b"\xef\xbb\xbf{}", "1:1", "byte-order-mark"),
        (b'{"a": "\xff"}', "1:8", "not-utf8"),
        (b"", "1:1", "empty-document"),
    ],
)
def test_an_error_of_json_names_line_and_column(raw: bytes, place: str, code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read_document(raw, "f.json")
    assert (caught.value.code, caught.value.where) == (code, f"f.json:{place}")
    assert caught.value.added_notes()[1].endswith("^")


def test_bytes_that_are_no_utf8_are_no_yaml_either() -> None:
    with pytest.raises(MalformedError) as caught:
        read_document(b"a: 1\nb: \xff", "-")
    assert (caught.value.code, caught.value.where) == ("not-utf8", "<stdin>:2:4")


YAML = """\
# a comment
grants:
  - tool: pay__send
    arguments:
      to: {equals: acme}
      "a.b":
        range: {min: 5, max: 1}
"""
JSON = """{
  "grants": [
    {"tool": "pay__send",
     "arguments": {"to": {"equals": "acme"}, "a.b": {"range": {"min": 5, "max": 1}}}}
  ]
}"""


@pytest.mark.parametrize(
    ("text", "name", "place"), [(YAML, "s.yaml", "7:9"), (JSON, "s.json", "4:54")], ids=["yaml", "json"]
)
def test_an_error_of_a_scope_names_line_and_column_and_shows_them(text: str, name: str, place: str) -> None:
    document = read_document(text.encode(), name)
    with pytest.raises(ScopeSyntaxError) as caught, document.pointing():
        parse_scope(document.value)
    assert caught.value.where == f"{name}:{place}"
    assert caught.value.message.startswith('`grants[0].arguments["a.b"].range` permits nothing')
    line, caret = caught.value.added_notes()
    assert line[caret.index("^") :].lstrip('"').startswith("range")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("grants:\n  - arguments: {}\n", "2:5"),  # `tool` is missing: the grant
        ("grants: []\n", "1:1"),
        ("grants:\n  - tool: a__b\n    uses: x\n", "3:5"),
        ("grants:\n  - tool: a__b\n    arguments: {x.y: {eq: 1}}\n", "3:17"),
        ("grants:\n  - tool: a__b\n    optional: [a, b]\n", "3:16"),
        ("grants:\n  - tool: a__b\n  - tool: a__b\n", "3:5"),
        ("- 1\n", "1:1"),
        ("tool: a__b\n", "1:1"),
    ],
)
def test_what_is_not_written_is_pointed_at_by_what_it_should_stand_in(text: str, place: str) -> None:
    document = read_document(text.encode(), "s.yaml")
    with pytest.raises(ScopeSyntaxError) as caught, document.pointing():
        parse_scope(document.value)
    assert caught.value.where == f"s.yaml:{place}"
