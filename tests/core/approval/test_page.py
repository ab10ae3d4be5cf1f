from __future__ import annotations

import pytest

from taskbound.core.approval import (
    BadProbeError,
    OperandOutsideError,
    OperandUnreadableError,
    looks_of,
    parse_probe,
)
from taskbound.core.approval.probe import parse_root

BASE = "https://api.example.com/v1/"
BENEATH = {
    "a": "a",
    "a/b": "a/b",
    "/v1/a": "a",
    "https://api.example.com/v1/a": "a",
    "HTTPS://API.example.com:443/v1/a": "a",
    "a?x=1&y=/../": "a?x=1&y=/../",
    "a/b:c": "a/b:c",
    "a@evil.example": "a@evil.example",
    "%C3%A9": "%C3%A9",
}
OUTSIDE = (
    "/v2/a",
    "/",
    "/v1",
    "/v1/",
    "/V1/a",
    "https://api.example.com/v1/",
    "https://api.example.com/",
    "https://api.example.com:8443/v1/a",
    "http://api.example.com/v1/a",
    "https://evil.example/v1/a",
    "https://api.example.com.evil.example/v1/a",
    "https://127.0.0.1/v1/a",
    "https://api.example.com./v1/a",
    "https://2130706433/v1/a",
    "https://0x7f.1/v1/a",
)
UNREADABLE = (
    "",
    "../a",
    "a/../../b",
    "..",
    "./a",
    "%2e%2e/a",
    "a/%2E%2E/b",
    "a%2f..%2fb",
    "a%5c..%5cb",
    "..\\a",
    "\\\\evil.example\\a",
    "//evil.example/v1/a",
    "https:\\\\evil.example/v1/a",
    "https://api.example.com@evil.example/v1/a",
    "https://user:secret@api.example.com/v1/a",
    "https://api.example.com\\@evil.example/v1/a",
    "https://evil.example#@api.example.com/v1/a",
    "https://[::ffff:127.0.0.1]/v1/a",
    "https://①②⑦.⓪.⓪.①/v1/a",
    "https://api.example.com/v1/../v1/a",
    "https://api.example.com/v1//a",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https:a",
    "mailto:bob",
    "a b",
    "a\r\nX: y",
    "a\tb",
    "a%00",
    "a%0d%0aX:y",
    "a#b",
    "#a",
    "/v1/a#b",
    "é",
    "a\u2025/b",
)


@pytest.mark.parametrize("text", BENEATH)
def test_what_lies_beneath_the_base_is_one_url_however_it_is_named(text: str) -> None:
    assert parse_root(BASE).page(text) == f"{BASE}{BENEATH[text]}"
    assert parse_root(BASE).page(f"{BASE}{BENEATH[text]}") == f"{BASE}{BENEATH[text]}"


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_does_not_is_outside(text: str) -> None:
    with pytest.raises(OperandOutsideError):
        parse_root(BASE).page(text)


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_readers_quarrel_about_is_not_looked_at(text: str) -> None:
    with pytest.raises(OperandUnreadableError):
        looks_of([parse_probe(f"page=etag:{BASE}")], {"page": text}, {}, directory="/")


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com",
        "https://api.example.com/v1",
        "https://api.example.com:443/v1/",
        "HTTPS://api.example.com/v1/",
        "https://API.example.com/v1/",
        "https://user@api.example.com/v1/",
        "https://api.example.com/v1/?x=/",
        "https://api.example.com/v1/#/",
        "https://api.example.com/v1/../",
        "https://127.1/v1/",
        "https://2130706433/",
        "https://[::0:1]/",
        "ftp://api.example.com/",
        "file:///srv/",
        "unix:/run/s/",
        "",
    ],
)
def test_what_is_no_base_is_refused(text: str) -> None:
    with pytest.raises(BadProbeError):
        parse_probe(f"page=etag:{text}")


@pytest.mark.parametrize(
    "text", [BASE, "http://127.0.0.1:8080/", "https://[::1]:8443/a/b/", "https://localhost/"]
)
def test_a_base_is_written_in_one_way(text: str) -> None:
    assert parse_root(text).text == text
    assert parse_probe(f"page=etag:{text}").text == f"page=etag:{text}"
    assert parse_root(text).page("x?y") == f"{text}x?y"


def test_each_of_a_list_is_looked_at_and_the_one_that_is_outside_is_named() -> None:
    probe = parse_probe(f"page=etag:{BASE}")
    found = looks_of([probe], {"page": ["a", "/v1/b"]}, {}, directory="/")
    assert [(one.place, one.value) for one in found] == [("/page/0", f"{BASE}a"), ("/page/1", f"{BASE}b")]
    with pytest.raises(OperandOutsideError, match="`/page/1`") as refused:
        looks_of([probe], {"page": ["a", "/b"]}, {}, directory="/")
    assert refused.value.where == "/page/1"
