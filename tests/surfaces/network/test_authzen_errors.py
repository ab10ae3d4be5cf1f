"""What AuthZEN's callers are told before anything is decided: errors in its words, with their ids."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.surfaces.api.test_operations import station
from tests.surfaces.network.evaluating import MANY, ONE, Evaluating, pay
from tests.surfaces.network.holding import HOST, Holding, held
from tests.surfaces.network.serving import Answer, read
from tests.surfaces.network.test_oversized import serving
from tests.token_world import ISSUER
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/authzen-configuration"
TEXT = "text/plain; charset=utf-8"
JSON = {"Content_Type": "application/json"}
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
GOOD = ["7b1c", "~", VISIBLE, "a b", 'a  (b), "c"; d=<e>\\', f"a{' ' * 198}b", "a" * 200]
BAD = {
    "long": "marked" + "a" * 195,
    "tab": "marked\tb",
    "low": "marked\x01b",
    "escape": "marked\x1b[2Jb",
    "delete": "marked\x7fb",
    "latin-1": "marked\xe9",
    "utf-8": "markedé".encode().decode("latin-1"),
    "next-line": "marked\x85b",
}
UNREADABLE = ["a\x00b", "a\x0bb", "a\x0cb"]

EARLY: list[tuple[str, str, dict[str, str], bytes, int, str]] = [
    ("POST", ONE, {**JSON, "content_type": "text/plain"}, b"", 400, "bad-http"),
    ("POST", ONE, {**JSON, "Content_Length": "2"}, b"{}{}", 400, "bad-http"),
    ("POST", ONE, {**JSON, "Content_Length": "2", "Expect": "later"}, b"{}", 401, "no-proof"),
    ("POST", MANY, {"Content_Type": "text/plain", "Content_Length": "2"}, b"{}", 401, "no-proof"),
    ("POST", ONE, {"Host": "evil.example", "Content_Length": "2"}, b"{}", 403, "foreign-host"),
    ("POST", ONE, {"Origin": "https://evil.example", "Content_Length": "2"}, b"{}", 403, "foreign-origin"),
    ("POST", "/access/v1/search/subject", {**JSON, "Content_Length": "2"}, b"{}", 404, "unknown-path"),
    ("POST", "/access/v1/search/resource", {"Content_Length": "2"}, b"{}", 404, "unknown-path"),
    ("POST", "/access/v1/search/action", {}, b"", 404, "unknown-path"),
    ("GET", "/access/", {}, b"", 404, "unknown-path"),
    ("POST", "/access/v1", {}, b"", 404, "unknown-path"),
    ("POST", "/access/v2/evaluation?x=1", {}, b"", 404, "unknown-path"),
    ("POST", "/access/../v1/tasks", {}, b"", 404, "unknown-path"),
    ("GET", ONE, {}, b"", 405, "http-method"),
    ("HEAD", ONE, {}, b"", 405, "http-method"),
    ("OPTIONS", MANY, {}, b"", 405, "http-method"),
    ("POST", METADATA, {}, b"", 405, "http-method"),
    ("POST", ONE, {**JSON, "Transfer_Encoding": "chunked"}, b"", 411, "no-length"),
    ("POST", MANY, {**JSON, "Content_Length": "1048577"}, b"", 413, "too-large"),
    ("POST", ONE, {f"X_{number}": "x" for number in range(64)}, b"", 431, "head-too-large"),
]
"""Method, target, headers and body; status and code. Of what is refused before an endpoint is asked."""


def send(one: Holding, case: Sequence[Any], ids: Sequence[str]) -> Answer:
    verb, target, headers, body = case[:4]
    head = one.there.head(verb, target, **{"Host": HOST, **headers})
    named = b"".join(f"X-Request-ID: {each}\r\n".encode("latin-1") for each in ids)
    return one.there.send(head[:-2] + named + b"\r\n" + body)


def told(answer: Answer, *, bare: bool = False) -> tuple[int, str, str | None]:
    """Status, code and id of an error that is told as AuthZEN tells it."""
    assert answer.headers["content-type"] == TEXT, answer
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)
    assert answer.headers["cache-control"] == "no-store"
    assert bare or b"decision" not in answer.body
    return answer.status, answer.code, answer.headers.get("x-request-id")


def test_each_error_before_an_endpoint_is_plain_text_and_has_the_id_that_came(one: Holding) -> None:
    for number, case in enumerate(EARLY):
        asked_as, bare = GOOD[number % len(GOOD)], case[0] == "HEAD"
        found = told(send(one, case, [asked_as]), bare=bare)
        assert found == (case[4], "" if bare else case[5], asked_as), case
        assert told(send(one, case, []), bare=bare)[2] is None, case
        if case[4] == 405:
            allowed = "GET, HEAD" if case[1] == METADATA else "POST"
            assert send(one, case, [asked_as]).headers["allow"] == allowed
    assert "a  (b)" not in one.there.process.words


def test_an_id_that_can_not_be_given_back_is_refused_on_every_way_and_stands_nowhere(one: Holding) -> None:
    for case in EARLY:
        if case[0] != "HEAD" and case[4] != 431:
            for ids in (["marked\x1b[2J"], ["marked", "marked"]):
                assert told(send(one, case, ids)) == (400, "bad-request-id", None), case
    (many,) = (case for case in EARLY if case[4] == 431)
    assert told(send(one, many, ["marked\x01"])) == (431, "head-too-large", None)
    assert "marked" not in one.there.process.words


def test_each_kind_of_id_comes_back_as_it_was_sent_or_nothing_is_decided(service: Evaluating) -> None:
    for number, asked_as in enumerate(GOOD, 1):
        answer = service.evaluate(pay(amount=1), X_Request_ID=asked_as)
        assert (answer.status, answer.headers["x-request-id"]) == (200, asked_as)
        assert len(service.records("action-decided")) == number
        unread = service.evaluate(b"{", X_Request_ID=asked_as, Content_Type="text/plain")
        assert told(unread) == (400, "content-type", asked_as)
    body = json.dumps(pay()).encode()

    def shown() -> dict[str, str]:
        own = service.one.shown("POST", ONE, service.token)
        return {**JSON, **own, "Content_Length": str(len(body))}

    for name, asked_as in BAD.items():
        answer = send(service.one, ("POST", ONE, shown(), body), [asked_as])
        assert told(answer) == (400, "bad-request-id", None), name
        assert b"marked" not in answer.body
    for ids in (["a", "b"], ["a", "a"], ["a", ""]):
        answer = send(service.one, ("POST", ONE, shown(), body), ids)
        assert told(answer) == (400, "bad-request-id", None), ids
    answer = send(service.one, ("POST", ONE, shown(), body), [""])
    assert (answer.status, "x-request-id" in answer.headers) == (200, False)
    for asked_as in UNREADABLE:  # the whole head is unreadable: nobody knows what it asks for
        answer = send(service.one, ("POST", ONE, shown(), body), [asked_as])
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert "x-request-id" not in answer.headers
    assert len(service.records("action-decided")) == len(GOOD) + 1
    expected = len(BAD) + 3

    def refusals() -> list[tuple[str, str]]:
        found = service.records("request-refused")
        return [(one["code"], one["operation"]) for one in found for _ in range(one["times"])]

    until(lambda: len(refusals()) == expected, "each is recorded")
    assert set(refusals()) == {("bad-request-id", "action:evaluate")}
    assert "marked" not in service.one.there.process.words + str(service.one.world.records())


def test_an_id_is_of_its_own_request_alone_on_a_connection_of_several(one: Holding) -> None:
    with one.there.connected() as wire:
        for asked_as in ("first", "", "third"):
            wire.sendall(one.there.head("POST", ONE, Host=HOST, X_Request_ID=asked_as))
            assert told(read(wire)) == (401, "no-proof", asked_as or None)
        wire.sendall(one.there.head("GET", "/livez", Host=HOST))
        assert "x-request-id" not in read(wire).headers
        wire.sendall(one.there.head("POST", ONE, Host=HOST, X_Request_ID="last"))
        assert told(read(wire)) == (401, "no-proof", "last")
        wire.sendall(b"no head\r\n\r\n")
        unread = read(wire)
        assert (unread.status, unread.headers["content-type"]) == (400, "application/problem+json")
        assert "x-request-id" not in unread.headers


def test_an_address_that_asks_too_often_is_told_so_with_its_id(tmp_path: Path) -> None:
    with held(tmp_path, "--burst", "1", "--rate", "1") as one:
        answers = (one.there.ask("POST", ONE, Host=HOST, X_Request_ID="a b") for _ in range(1000))
        answer = next(answers)
        while answer.status != 429:  # faster than one a second, sooner or later
            assert told(answer) == (401, "no-proof", "a b")
            answer = next(answers)
        assert told(answer) == (429, "too-many-requests", "a b")
        assert answer.headers["retry-after"] == "1"


async def answered(port: int, raw: bytes) -> Answer:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(raw)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): one for name, one in (line.split(": ", 1) for line in lines[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            return Answer(status=int(lines[0].split()[1]), headers=headers, body=body)
        finally:
            writer.close()


async def _absent(_: object) -> Any:
    raise ConnectionRefusedError


async def _odd(_: object) -> Any:
    raise LookupError("marked")


@pytest.mark.parametrize(
    ("bounds", "sent", "expected"),
    [
        ({"body_seconds": 0.05}, b"{", (408, "slow-client")),
        ({"bodies": 1}, b"", (503, "front-full")),
        ({"connect": _absent}, b"{}", (503, "daemon-lost")),
        ({"connect": _odd}, b"{}", (500, "error")),
    ],
    ids=["slow", "full", "no-daemon", "unforeseen"],
)
async def test_what_can_not_be_done_now_or_was_foreseen_by_nobody_has_the_id_too(
    tmp_path: Path, bounds: dict[str, Any], sent: bytes, expected: tuple[int, str]
) -> None:
    head = (
        f"POST {ONE} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        "Authorization: DPoP x\r\nContent-Length: 2\r\nX-Request-ID: a b\r\n\r\n"
    )
    async with station(tmp_path, issuer=ISSUER) as place, serving(place, **bounds) as (_, port):
        answer = await answered(port, head.encode() + sent)
        assert told(answer) == (*expected, "a b")
        assert b"marked" not in answer.body


def test_the_metadata_has_the_id_and_is_kept_for_nobody_else(one: Holding) -> None:
    answer = one.say("GET", METADATA, X_Request_ID="a b")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    kept = one.say("GET", METADATA, X_Request_ID="c", If_None_Match=answer.headers["etag"])
    assert (kept.status, kept.headers["x-request-id"]) == (304, "c")
    plain = one.say("GET", METADATA)
    assert [one.headers.get("x-request-id") for one in (answer, plain)] == ["a b", None]
    assert {one.headers["vary"] for one in (answer, kept, plain)} == {"X-Request-ID"}
    assert told(one.say("GET", METADATA, X_Request_ID="a\x01b")) == (400, "bad-request-id", None)


def test_elsewhere_errors_are_problems_and_no_id_is_read(one: Holding) -> None:
    for target, status in (("/v1/actions", 401), ("/access", 404), ("/v1/access/x", 404)):
        for ids in (["a"], ["a", "b"], ["a\x01"]):
            answer = send(one, ("POST", target, {}, b""), ids)
            assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
            assert "x-request-id" not in answer.headers
