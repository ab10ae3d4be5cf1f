"""What real nginx and real Envoy pass on, by the files of the guide and a guard (docs/guides/proxies.md)."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from taskbound.core.action import canonical
from tests.wiring.guarding import NUMBERS, World
from tests.wiring.proxying import HOST, KINDS, Front, Told, lowered, optional, proxied

WHOLE = [one for one in KINDS if one != "nginx-auth-request"]
"""Those that show bodies."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with optional(tmp_path_factory.mktemp("proxies")) as one:
        yield one


@pytest.fixture(scope="module", params=KINDS)
def front(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with proxied(world, tmp_path_factory.mktemp("front"), request.param) as one:
        yield one


def status(front: Front, of: int) -> int:
    """The status that a client of this proxy gets of a refusal that has this one."""
    by_subrequest = front.kind == "nginx-auth-request" and of not in {401, 403}
    return 403 if by_subrequest or (front.kind == "envoy" and of >= 500) else of


def test_what_was_permitted_passes_once_and_a_repeat_is_told_that_nobody_knows(front: Front) -> None:
    line, body, token = front.permitted()
    told = front.ask(line, body, token)
    assert (told.status, told.body, told.all("www-authenticate")) == (201, b"done", [])
    assert (
        told.all("cache-control") == told.all("x-accel-redirect")[1:] == []
    )  # the guard's, and the service's
    (seen,) = front.ran(token)
    assert (seen.line, seen.body) == (f"{line} HTTP/1.1", body)
    again = front.ask(line, body, token)
    assert (again.status, again.error) == (status(front, 409), "outcome-not-known")
    assert len(front.ran(token)) == 1


TARGETS = [
    *(
        "/other/../say",
        "//say",
        "/./say",
        "/%73ay",
        "/say/",
        "/say%2f",
        "/SAY",
        "/say;x",
        "/say%00",
        "/say#x",
    ),
    *("/say/.", "/say/..;/say", "/taskbound", "/@permitted", "@permitted", "/say\\", "/say%3fx", "*", "say"),
    *("http://other.example/say", "https://echo.example@other.example/say", "//other.example/say"),
]


def test_a_target_that_two_readers_read_differently_is_not_the_endpoint(front: Front) -> None:
    line, body, token = front.permitted()
    method, path = line.split()
    before = len(front.service.seen)
    for target in TARGETS:
        told = front.ask(f"{method} {target.replace('say', path[1:])}", body, token)
        assert told.status not in {201, 200}, target
        assert len(front.service.seen) == before, target
    assert front.ask(line, body, token).status == 201  # none used it up
    assert [one.line for one in front.ran(token)] == [f"{line} HTTP/1.1"]


UNCOVERED = {
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-envoy-original-path",
}
HEADS = {
    "a token twice": ("TXN-TOKEN: {token}",),
    "an empty one first": ("txn-token:",),
    "another method": ("X-HTTP-Method-Override: DELETE",),
    "another method, in short": ("X-Method-Override: DELETE",),
    "another path": ("X-Original-URL: /other",),
    "another path, in IIS": ("X-Rewrite-URL: /other",),
    "where it came from, to Envoy": ("X-Envoy-Original-Path: /other",),
    "another host": ("Host: other.example",),
    "another host with a port": ("Host: echo.example:444",),
    "two hosts": ("Host: echo.example", "Host: other.example"),
    "a line that is folded": ("X-Fold: a\r\n Txn-Token: x",),
    "a line without a name": (": x",),
    "a space before the colon": ("Txn-Token : x",),
    "a bare line feed": ("X-One: a\nTxn-Token: x",),
    "a zero": ("X-One: a\0b",),
}


def test_a_head_that_makes_another_request_of_it_does_not_pass(front: Front) -> None:
    line, body, token = front.permitted()
    for name, head in HEADS.items():
        told = front.ask(line, body, token, head=tuple(one.format(token=token) for one in head))
        if told.status != 201:
            assert front.ran(token) == [], name
            continue
        (seen,) = front.ran(token)  # the proxy has taken it away, or has made one line of it
        assert (seen.line, seen.body) == (f"{line} HTTP/1.1", body), name
        shown = lowered(seen.headers)
        assert [value for one, value in shown if one == "txn-token"] == [token], name
        assert [value for one, value in shown if one == "host"] == [HOST], name
        assert {one for one, _ in shown} & UNCOVERED == set(), name
        line, body, token = front.permitted()
    assert front.ask(line, body, token).status == 201  # none used it up


def test_what_a_client_says_to_the_guard_itself_changes_nothing(front: Front) -> None:
    line, body, token = front.permitted()
    spoofed = (
        "Taskbound-Content: 0",
        "Taskbound-Method: GET",
        "X-Accel-Redirect: @permitted",
        "X-Envoy-Auth-Partial-Body: false",
        "X-Original-Method: GET",
    )
    assert front.ask("POST /other", body, token, head=spoofed).status == 403
    assert front.ask(line, body, head=spoofed).status == 401
    assert front.ran(token) == []
    assert front.ask(line, body, token, head=spoofed).status == 201
    (seen,) = front.ran(token)
    assert (seen.line, seen.body) == (f"{line} HTTP/1.1", body)


def test_names_with_underscores_reach_no_service_that_reads_them_as_others(front: Front) -> None:
    line, body, token = front.permitted()
    told = front.ask(line, body, token, head=("Txn_Token: x", "Content_Length: 1", "X_Original_URL: /x"))
    shown = [one for seen in front.ran(token) for one, _ in seen.headers if "_" in one]
    assert (told.status in {201, 400}, shown) == (True, [])


def test_a_body_in_chunks_is_the_body_whole_or_nothing(front: Front) -> None:
    line, body, token = front.permitted()
    body = body or b"{}"

    def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> Told:
        sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + end
        head = ("Transfer-Encoding: chunked", "Content-Type: application/json")
        return front.ask(line, sent, token, head=head)

    if not front.whole:
        assert chunked(body).error == "body-not-shown"
        assert front.ran(token) == []
        return
    assert chunked(body, b"x").error == "other-content"
    assert chunked(body, end=b"zz\r\n").status in {0, 400}
    assert front.ran(token) == []
    pieces = [body[at : at + 1] for at in range(len(body))]
    assert chunked(*pieces, end=b"0\r\nTxn-Token: x\r\nX-Original-URL: /x\r\n\r\n").status == 201
    (seen,) = front.ran(token)
    assert seen.body == body


SMUGGLED = b"POST /other HTTP/1.1\r\nHost: echo.example\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: {length}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: {length}"),
        ("Content-Length: {length}", "Content-Length: 0"),
        ("Content-Length: +{length}",),
        ("Content-Length: {length}, {length}",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked", "Content-Length: {length}"),
        ("Transfer-Encoding : chunked", "Content-Length: {length}"),
        ("Content-Length: {length}", "Connection: close, Content-Length"),
        ("Content-Length: {length}", "Connection: close, Txn-Token"),
    ],
)
def test_a_length_that_two_readers_read_differently_brings_no_second_request(
    front: Front, lines: tuple[str, ...]
) -> None:
    line, body, token = front.permitted()
    before = len(front.service.seen)
    head = tuple(one.format(length=len(body)) for one in lines)
    front.send(
        "\r\n".join(
            [
                f"{line} HTTP/1.1",
                f"Host: {HOST}",
                "Content-Type: application/json",
                f"Txn-Token: {token}",
                *head,
            ]
        ).encode()
        + b"\r\n\r\n"
        + body
        + SMUGGLED
    )
    assert [one.line for one in front.service.seen[before:]] in ([], [f"{line} HTTP/1.1"])
    assert [one.body for one in front.service.seen[before:]] in ([], [body])


def test_a_request_that_waits_for_leave_to_send_its_body_passes_whole(front: Front) -> None:
    line, body, token = front.permitted()
    assert front.ask(line, body, token, head=("Expect: 100-continue",)).status == 201
    (seen,) = front.ran(token)
    assert (seen.line, seen.body) == (f"{line} HTTP/1.1", body)


def test_a_body_over_the_limit_is_refused_and_one_below_it_passes(front: Front) -> None:
    line, _, token = front.permitted()
    if not front.whole:
        assert front.ask(line, b"{}", token).error == "body-not-shown"
        assert front.ran(token) == []
        return
    text = f"{next(NUMBERS)} " + "x" * 900_000
    body = canonical({"text": text})
    found = front.world.permit(text, body)
    assert found["status"] == 200, found
    assert front.ask(line, body, str(found["token"])).status == 201
    assert front.ran(str(found["token"]))[0].body == body
    over = front.ask(line, b'{"text":"%s"}' % (b"x" * 1_100_000), token)
    assert over.status in {0, 413}  # nobody has to read what is too long, to hear why
    assert front.ran(token) == []


def test_over_http_2_the_same_passes_and_nothing_else(front: Front) -> None:
    line, body, token = front.permitted()
    method, path = line.split()
    head = {"Host": HOST, "Txn-Token": token, **({"Content-Type": "application/json"} if body else {})}
    place = f"https://127.0.0.1:{front.port}"
    with httpx2.Client(http2=True, http1=False, verify=front.trusting(), timeout=20) as client:

        def ask(target: str, sent: bytes, **more: str) -> httpx2.Response:
            extensions = {"sni_hostname": HOST}
            return client.request(
                method, place + target, content=sent, headers={**head, **more}, extensions=extensions
            )

        refused = ask(path, body + b"x", **{"Content-Type": "application/json"})
        assert (refused.http_version, refused.status_code) == ("HTTP/2", 403)
        assert ask(path + "?x", body).status_code == status(front, 400)
        assert front.ran(token) == []
        told = ask(path, body)
    assert (told.http_version, told.status_code) == ("HTTP/2", 201)
    (seen,) = front.ran(token)
    assert (seen.line, seen.body) == (f"{line} HTTP/1.1", body)


def test_no_socket_of_the_web_is_opened(front: Front) -> None:
    line, body, token = front.permitted()
    head = ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
    told = front.ask(line, body, token, head=("Connection: Upgrade", *head))
    assert told.status in {201, 403}  # as a plain request, or not at all
    assert [one for seen in front.ran(token) for one, _ in lowered(seen.headers) if one == "upgrade"] == []


@pytest.mark.parametrize("word", ["broken", "cut"])
def test_what_a_service_fails_at_is_not_sent_to_it_again(front: Front, word: str) -> None:
    line, body, token = front.permitted(word)
    told = front.ask(line, body, token, head=(f"X-Fail: {word}",))
    assert told.status in {502, 503}
    assert len(front.ran(token)) == 1


@pytest.mark.parametrize(
    "name", ["X-Envoy-Retry-On", "X-Envoy-Retry-Grpc-On", "X-Envoy-Hedge-On-Per-Try-Timeout"]
)
def test_no_client_has_a_proxy_send_it_again(front: Front, name: str) -> None:
    line, body, token = front.permitted()
    asking = (f"X-Envoy-{name}: 5xx", "X-Envoy-Max-Retries: 3", "X-Fail: broken")
    front.ask(line, body, token, head=(*asking, "X-Forwarded-For: 10.0.0.1", "X-Envoy-Internal: true"))
    assert len(front.ran(token)) <= 1


def test_what_is_public_passes_without_a_token_and_nothing_beside_it(front: Front) -> None:
    assert front.ask("GET /livez").status == 201
    assert front.ask("POST /livez").error == "endpoint-unknown"
    assert front.ask("GET /livez?x").error == "endpoint-unknown"
    assert front.ask("GET /livez/").error == "endpoint-unknown"
