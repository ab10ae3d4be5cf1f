from __future__ import annotations

import pytest

from taskbound.surfaces.network.problem import BadFormError, read_form

PLAIN = {"content-type": "application/x-www-form-urlencoded"}


def test_a_form_is_its_parameters_and_one_without_a_value_is_left_out() -> None:
    body = b"grant_type=urn%3Aietf&subject=a+b&empty=&name&x=%C3%A9%2B"
    assert read_form(PLAIN, {}, body) == {"grant_type": "urn:ietf", "subject": "a b", "x": "\xe9+"}
    assert read_form({"content-type": 'application/x-www-form-urlencoded; charset="UTF-8"'}, {}, b"") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"x=1&x=1", b"x=1&%78=2", b"x=&x=1", b"=1", b"&", b"x=1&", b"x=%", b"x=%4", b"x=%zz", b"x=%ff",
        b"x=%C3", b"x=%00", b"x=%0A", b"x=%7f", b"x=a=b", b"x=\xc3\xa9", b"x=a b", b"x=a\n", b'x="', b"x=#",
        b"&".join(b"x%d=1" % number for number in range(33)), b"x=" + b"a" * 65_536,
    ],
)  # fmt: skip  # a list of cases
def test_what_two_readers_would_read_as_two_forms_is_none(body: bytes) -> None:
    with pytest.raises(BadFormError):
        read_form(PLAIN, {}, body)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, {}),
        ({"content-type": "application/json"}, {}),
        ({"content-type": "multipart/form-data; boundary=x"}, {}),
        ({"content-type": "application/x-www-form-urlencoded; charset=utf-7"}, {}),
        ({"content-type": "application/x-www-form-urlencoded, application/json"}, {}),
        ({**PLAIN, "content-encoding": "gzip"}, {}),
        (PLAIN, {"grant_type": "x"}),
    ],
)
def test_a139_a_form_is_declared_and_says_nothing_in_the_url(
    headers: dict[str, str], query: dict[str, str]
) -> None:
    with pytest.raises(BadFormError):
        read_form(headers, query, b"x=1")
