from __future__ import annotations

import json
import struct
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, cast

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskbound.core.action import (
    MAX_INTEGER,
    LoneSurrogateError,
    NotFiniteError,
    NumberRangeError,
    TooDeepError,
    UnwritableError,
    canonical,
    parse_document,
)
from taskbound.core.action.canonical import number_text
from tests.core.action.values import fractions, json_values

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue

# RFC 8785, Appendix B: the bits of a double and its text.
APPENDIX_B = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


class Word(str, Enum):  # noqa: UP042 -- not StrEnum: any subclass of str is meant
    HELD = "held"


class Level(IntEnum):
    HIGH = 3


def double(bits: str) -> float:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    return cast("float", number)


@pytest.mark.parametrize(("bits", "text"), APPENDIX_B)
def test_a_number_has_the_text_of_rfc_8785_appendix_b(bits: str, text: str) -> None:
    assert number_text(double(bits)) == text


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_a005_a_number_that_is_not_finite_has_no_text(bits: str) -> None:
    with pytest.raises(NotFiniteError):
        number_text(double(bits))
    with pytest.raises(NotFiniteError):
        canonical({"a": [double(bits)]})


def test_the_example_of_rfc_8785_has_the_bytes_of_rfc_8785() -> None:
    raw = rb"""{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    assert canonical(parse_document(raw)).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@settings(max_examples=2000, deadline=None)
@given(json_values)
@example({"\ufb33": 1, "\U0001f600": 2})
@example({"\ue000": {"\U0001f600": 1.0, "\uffff": -0.0}})
@example(["\U0001f600", {"\ufb33": [1e21, 1e-7, 0.5]}])
def test_any_value_has_the_bytes_that_rfc8785_gives_it(value: JsonValue) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@settings(max_examples=2000, deadline=None)
@given(fractions)
@example(1e-5)
@example(9.5e-5)
@example(1e16)
@example(123456789012345680000.0)
def test_any_double_has_the_text_that_rfc8785_gives_it(number: float) -> None:
    assert number_text(number).encode() == rfc8785.dumps(number)


@settings(max_examples=500, deadline=None)
@given(json_values)
def test_canonical_bytes_read_back_as_the_value_and_write_again_the_same(value: JsonValue) -> None:
    written = canonical(value)
    assert parse_document(written) == value
    assert canonical(parse_document(written)) == written


@settings(deadline=None)
@given(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]))
def test_each_character_is_escaped_as_rfc_8785_says_and_no_other(char: str) -> None:
    short = {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}
    if char in short:
        expected = f"\\{short[char]}"
    elif char < " ":
        expected = f"\\u{ord(char):04x}"
    else:
        expected = char
    assert canonical(char).decode() == f'"{expected}"'


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63, 10**400, 9007199254740992.0, 1e20, -1e20])
def test_a007_a_whole_number_beyond_what_all_read_alike_is_not_written(number: float) -> None:
    with pytest.raises(NumberRangeError):
        canonical({"a": [number]})


def test_a007_the_largest_whole_numbers_are_written() -> None:
    numbers: JsonValue = [MAX_INTEGER, -MAX_INTEGER, float(MAX_INTEGER)]
    assert canonical(numbers) == b"[9007199254740991,-9007199254740991,9007199254740991]"


def test_a009_each_zero_is_written_alike() -> None:
    assert canonical([0, 0.0, -0.0]) == b"[0,0,0]"


def test_a013_a_boolean_is_not_a_number() -> None:
    assert canonical([True, 1, False, 0]) == b"[true,1,false,0]"
    assert canonical({"a": True, "b": 1.0}) == b'{"a":true,"b":1}'


@pytest.mark.parametrize("key", [1, True, None, 1.5, b"a", ("a",)])
def test_a013_a_key_that_is_not_a_string_is_not_written(key: object) -> None:
    with pytest.raises(UnwritableError, match="a key of an object is a string"):
        canonical(cast("JsonValue", {"a": [{key: 1}]}))


@pytest.mark.parametrize("thing", [(1, 2), b"a", {1}, object(), 1j, range(3)])
def test_what_is_no_value_of_json_is_not_written(thing: object) -> None:
    for value in (thing, [thing], {"a": [thing]}, [thing, 1.0]):
        with pytest.raises(UnwritableError, match="JSON has no word"):
            canonical(cast("JsonValue", value))


@pytest.mark.parametrize("text", ["\ud800", "a\udc00", "\ude00\ud83d"])
def test_a016_half_a_surrogate_pair_is_not_written(text: str) -> None:
    values: list[JsonValue] = [text, {text: 1}, ["\U0001f600", text], {text: 1.0}, {text: "\U0001f600"}]
    for value in values:
        with pytest.raises(LoneSurrogateError):
            canonical(value)


def test_subclasses_of_strings_and_numbers_are_written_as_what_they_are() -> None:
    assert canonical({"word": Word.HELD, "level": Level.HIGH}) == b'{"level":3,"word":"held"}'
    assert canonical({"word": Word.HELD, "level": Level.HIGH, "z": 1e-9}) == (
        b'{"level":3,"word":"held","z":1e-9}'
    )


def test_a015_a_value_too_deep_for_python_is_not_written() -> None:
    value: JsonValue = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(TooDeepError):
        canonical(value)


def test_a_value_that_holds_itself_is_not_written() -> None:
    value: dict[str, JsonValue] = {}
    value["self"] = value
    with pytest.raises(TooDeepError):
        canonical(value)


def test_a004_strings_are_not_normalized() -> None:
    assert canonical({"\u00e9": 1, "e\u0301": 2}) == '{"e\u0301":2,"\u00e9":1}'.encode()


@settings(deadline=None)
@given(json_values)
def test_a026_the_order_of_keys_changes_nothing(value: JsonValue) -> None:
    turned = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert canonical(turned) == canonical(value)
