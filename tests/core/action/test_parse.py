from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskbound.core.action import (
    LIMITS,
    ByteOrderMarkError,
    DuplicateKeyError,
    EmptyDocumentError,
    Limits,
    LoneSurrogateError,
    NotAnObjectError,
    NotFiniteError,
    NotJsonError,
    NotUtf8Error,
    NumberRangeError,
    TooDeepError,
    TooLargeError,
    TooManyPartsError,
    TrailingDataError,
    canonical,
    parse_document,
    parse_object,
)
from taskbound.core.errors import MalformedError
from tests.core.action.values import json_values

NUMERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


@settings(max_examples=1000, deadline=None)
@given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_python_writes_of_a_value_is_read_as_that_value(
    value: object,
    ascii_only: bool,  # noqa: FBT001 -- drawn, not passed
    indent: int | str | None,
) -> None:
    assert parse_document(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@settings(max_examples=1000, deadline=None)
@given(
    st.binary(max_size=40)
    | st.text('[]{}":,\\u0eE1+-.tfn \t\ud83d', max_size=20).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes_are_a_value_of_json_or_one_named_error(raw: bytes) -> None:
    try:
        value = parse_document(raw)
    except MalformedError as error:
        refused = error
    else:
        assert json.loads(raw) == value
        assert parse_document(canonical(value)) == value
        return
    assert type(refused).code != MalformedError.code
    assert refused.message
    assert refused.advice


@settings(max_examples=1000, deadline=None)
@given(
    st.from_regex(NUMERAL, fullmatch=True)
    | st.from_regex(r"-?[0-9]{1,18}\.[0-9]{1,3}(e-?[0-9])?", fullmatch=True)
)
@example("999999999999999.9999999999")
@example("0.9999999999999999999999")
@example("9007199254740991.4")
@example("1e15")
def test_a010_a_number_reads_as_a_double_does_and_is_an_int_when_it_is_whole(numeral: str) -> None:
    try:
        value = parse_document(numeral.encode())
    except (NumberRangeError, NotFiniteError, TrailingDataError):
        return
    assert isinstance(value, int | float)
    assert value == float(numeral)
    assert isinstance(value, float) == (not float(numeral).is_integer() or abs(value) >= 1e21)
    assert repr(parse_document(canonical(value))) == repr(value)


@settings(deadline=None)
@given(
    st.integers(min_value=2**53) | st.integers(max_value=-(2**53)),
    st.sampled_from(["", ".0", ".5", "e0", "E+0"]),
)
def test_a007_a_whole_number_beyond_2_to_53_is_refused_in_every_spelling(number: int, ending: str) -> None:
    if "e" in ending.lower() and abs(float(number)) >= 1e21:
        assert parse_document(f"{number}{ending}".encode()) == float(number)  # says that it is rounded
        return
    with pytest.raises(NumberRangeError):
        parse_document(f'{{"amount":{number}{ending}}}'.encode())


@pytest.mark.parametrize("numeral", ["1e21", "-1e21", "1E+300", "6.02214076e23", "1.7976931348623157e308"])
def test_a006_a_large_number_that_says_it_is_rounded_is_read(numeral: str) -> None:
    assert parse_document(numeral.encode()) == float(numeral)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", EmptyDocumentError),
        (b" \n", EmptyDocumentError),
        (b"\xef\xbb\xbf{}", ByteOrderMarkError),
        (b"\xef\xbb\xbf", ByteOrderMarkError),
        (b"{\x00}\x00", NotUtf8Error),
        (b"\xff", NotUtf8Error),
        (b"{]", NotJsonError),
        (b"nul", NotJsonError),
        (b'{"a":1,"a":2}', DuplicateKeyError),
        (b"NaN", NotFiniteError),
        (b"1e999", NotFiniteError),
        (b"9007199254740992", NumberRangeError),
        (b"1e-999", NumberRangeError),
        (rb'"\ud800"', LoneSurrogateError),
        (b"{}{}", TrailingDataError),
        (b"01", TrailingDataError),
        (b"[" * 65 + b"]" * 65, TooDeepError),
    ],
)
def test_each_fault_has_its_own_error(raw: bytes, error: type[MalformedError]) -> None:
    with pytest.raises(error) as caught:
        parse_document(raw)
    assert type(caught.value) is error


@pytest.mark.parametrize("raw", [b"0", b"null", b"true", b'"a"', b"[]", b"{}", b" {} ", b"\t[ ]\r\n", b"-0"])
def test_any_single_value_is_a_document(raw: bytes) -> None:
    assert parse_document(raw) == json.loads(raw)


@settings(deadline=None)
@given(st.integers(1, 200), st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"\\"[":', b"}]")]))
def test_a015_depth_is_counted_exactly(count: int, pair: tuple[bytes, bytes]) -> None:
    raw = pair[0] * count + b"0" + pair[1] * count
    depth = count * (pair[0].count(b"[") + pair[0].count(b"{") - pair[0].count(b'"['))
    if depth > LIMITS.depth:
        with pytest.raises(TooDeepError):
            parse_document(raw)
    else:
        assert parse_document(raw) is not None


@settings(max_examples=500, deadline=None)
@given(json_values, st.integers(0, 6), st.integers(0, 12))
def test_a015_the_limits_of_shape_agree_with_a_plain_count(value: object, depth: int, parts: int) -> None:
    def measure(item: object) -> tuple[int, int]:
        inner = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else None
        if inner is None:
            return 0, 0
        measured = [measure(one) for one in inner]
        return 1 + max((deep for deep, _ in measured), default=0), 1 + sum(many for _, many in measured)

    deep, many = measure(value)
    raw = json.dumps(value).encode()
    limits = Limits(depth=depth, parts=parts)
    if deep > depth:
        with pytest.raises(TooDeepError):
            parse_document(raw, limits=limits)
    elif many > max(depth, parts):
        with pytest.raises(TooManyPartsError):
            parse_document(raw, limits=limits)
    elif many <= parts:
        assert parse_document(raw, limits=limits) == value


def test_a015_brackets_in_strings_have_no_depth() -> None:
    for text in ('[{"' * 200, '\\"[' * 200, "\\" * 201 + "[" * 200):
        assert parse_document(json.dumps([text, "]", [text]]).encode()) == [text, "]", [text]]


def test_a015_a_depth_that_limits_allow_and_python_does_not_is_still_one_named_error() -> None:
    deep = Limits(depth=1_000_000, parts=1_000_000)
    with pytest.raises(TooDeepError):
        parse_document(b"[" * 200_000 + b"]" * 200_000, limits=deep)


def test_a029_as_many_bytes_as_may_be_read_are_read_and_one_more_is_not() -> None:
    assert parse_document(b" " * (LIMITS.size - 2) + b"{}") == {}
    with pytest.raises(TooLargeError):
        parse_document(b" " * (LIMITS.size - 1) + b"{}")


def test_a_size_that_is_refused_is_refused_before_anything_else_is_looked_at() -> None:
    with pytest.raises(TooLargeError):
        parse_document(b"\xff" * (LIMITS.size + 1))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_a002_a_key_that_stands_twice_is_refused_however_it_is_spelled(
    value: dict[str, int], data: st.DataObject
) -> None:
    twice = data.draw(st.sampled_from(sorted(value)))
    spelled = "".join(
        f"\\u{unit:04x}" for unit in memoryview(twice.encode("utf-16-le", "surrogatepass")).cast("H")
    )
    members = [f"{json.dumps(key)}:{item}" for key, item in value.items()]
    at = data.draw(st.integers(0, len(members)))
    members.insert(at, f'"{spelled}":0')
    with pytest.raises(DuplicateKeyError):
        parse_document(f"[[{{{','.join(members)}}}]]".encode())


def test_the_key_that_stands_twice_is_named_and_shown_harmlessly() -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        parse_document(b'{"\\u001b[2J":1,"b":2,"\\u001b[2J":3}')
    assert caught.value.message == r"the key `\u{1B}[2J` stands more than once in one object"


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"a":x}', "byte 5"),
        (b' \n{"a":x}', "byte 7"),
        ('  {"\u20ac":x}'.encode(), "byte 9"),
        (b'{"a":1} x', "byte 7"),
        (b'"ab\xffc"', "byte 3"),
    ],
)
def test_an_error_says_at_which_byte(raw: bytes, where: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_document(raw)
    assert caught.value.where == where or where in caught.value.message


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"{}"', b"1"])
def test_what_is_no_object_is_refused_where_an_object_is_expected(raw: bytes) -> None:
    with pytest.raises(NotAnObjectError):
        parse_object(raw)


def test_an_object_is_read_where_an_object_is_expected() -> None:
    assert parse_object(b'{"a":{"b":1}}') == {"a": {"b": 1}}


def test_a016_a_pair_of_escapes_is_one_character() -> None:
    assert parse_document(rb'["\ud83d\ude00"]') == ["\U0001f600"]
