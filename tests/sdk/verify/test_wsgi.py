from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from taskbound.core.token.shared import MAX_KEPT
from taskbound.sdk.verify import Endpoints
from taskbound.sdk.verify.endpoint import REROUTING
from taskbound.sdk.verify.errors import AnswerUnkeptError
from taskbound.sdk.verify.wsgi import WsgiGuard
from tests.sdk.verify.world import BODY, Place, Places, full

ENDPOINTS = Endpoints({"POST /pay": "bank__pay"}, public=["GET /livez"])
LIVEZ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/livez"}
App = Callable[[Any, Any], Iterable[bytes]]


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def environ(place: Place, body: bytes = BODY, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/pay",
        "QUERY_STRING": "",
        "SERVER_NAME": "pay.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_TXN_TOKEN": place.token(),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": __import__("sys").stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": object,
    }
    return {name: value for name, value in (plain | more).items() if value is not ...}


def asked(app: App, told: dict[str, Any], *, parts: int = -1) -> tuple[int, bytes, list[bytes]]:
    """The status, what was written before, and the parts that were taken; all of them, or so many."""
    status: list[int] = []
    written: list[bytes] = []

    def start(line: str, _: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        status.append(int(line[:3]))
        del exc_info
        return written.append

    found = app(told, start)
    taken: list[bytes] = []
    try:
        for part in found:
            taken.append(part)
            if len(taken) == parts:
                break
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            close()
    return status[-1], b"".join(written), taken


def ask(place: Place, app: App, **more: Any) -> tuple[int, bytes]:
    status, written, taken = asked(
        WsgiGuard(app, place.verifier, ENDPOINTS, limit=1000), environ(place, **more)
    )
    return status, written + b"".join(taken)


def code(told: tuple[int, bytes]) -> tuple[int, str]:
    return told[0], json.loads(told[1])["code"]


class Paying:
    """An application that says what it was given."""

    def __init__(self, body: bytes = b"paid", *, length: bool = False) -> None:
        self.body, self.length = body, length
        self.given: list[Any] = []

    def __call__(self, told: Any, start: Any) -> Iterable[bytes]:
        self.given.append((told["wsgi.input"].read(), told))
        length = [("Content-Length", str(len(self.body)))] if self.length else []
        start("200 OK", [("Content-Type", "text/plain"), *length])
        return [self.body[:2], self.body[2:]]


def test_the_application_is_given_the_very_bytes_and_runs_once(place: Place) -> None:
    app = Paying()
    assert ask(place, app) == ask(place, app) == (200, b"paid")
    ((body, told),) = app.given
    assert (body, told["CONTENT_LENGTH"], told["taskbound"].txn) == (BODY, str(len(BODY)), "act_1")
    assert "wsgi.file_wrapper" not in told


def test_what_stands_before_the_application_keeps_to_wsgi(place: Place) -> None:
    app = Paying()

    def careful(told: Any, start: Any) -> Iterable[bytes]:
        told.pop("wsgi.file_wrapper", None)
        return app(told, start)

    told = environ(place)
    del told["wsgi.file_wrapper"]
    guarded = validator(WsgiGuard(careful, place.verifier, ENDPOINTS))
    started: list[Any] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers, exc_info))
        return lambda _: None

    found = guarded(told, start)
    assert b"".join(found) == b"paid"
    found.close()  # type: ignore[attr-defined]  # what the validator gives has one
    assert started[0][0] == "200 OK"


def _environ(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"CONTENT_LENGTH": str(len(BODY) + 1)}, (411, "body-length")),
        ({"CONTENT_LENGTH": str(len(BODY) - 1)}, (403, "other-content")),
        ({"CONTENT_LENGTH": "-1"}, (411, "body-length")),
        ({"CONTENT_LENGTH": "+27"}, (411, "body-length")),
        ({"CONTENT_LENGTH": "٢٧"}, (411, "body-length")),
        ({"CONTENT_LENGTH": "27, 27"}, (411, "body-length")),
        ({"CONTENT_LENGTH": "9" * 30}, (411, "body-length")),
        ({"CONTENT_LENGTH": "0" * 30 + str(len(BODY))}, (411, "body-length")),
        ({"CONTENT_LENGTH": "1001"}, (413, "body-large")),
        ({"CONTENT_LENGTH": ""}, (403, "other-content")),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, (411, "body-length")),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}, (411, "body-length")),
        (
            {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input_terminated": True,
             "wsgi.input": BytesIO(b"y" * 1001)},
            (413, "body-large"),
        ),
        ({"HTTP_TXN_TOKEN": ...}, (401, "txn-token-absent")),
        ({"HTTP_TXN_TOKEN": "a.b.c,a.b.c"}, (401, "txn-token-count")),
        ({"QUERY_STRING": "x"}, (400, "query-not-covered")),
        ({"PATH_INFO": "/pay/"}, (403, "endpoint-unknown")),
        ({"PATH_INFO": "\xff"}, (403, "endpoint-unknown")),
        ({"SCRIPT_NAME": "/api"}, (403, "endpoint-unknown")),
        ({"REQUEST_METHOD": "PUT"}, (403, "endpoint-unknown")),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, (415, "content-encoded")),
        ({"HTTP_CONTENT_DIGEST": "sha-256=::"}, (400, "content-digest")),
        *(({_environ(name): "x"}, (400, "header-not-covered")) for name in sorted(REROUTING)),
        *(({_environ(name): "x", **LIVEZ}, (400, "header-not-covered")) for name in sorted(REROUTING)),
    ],
)  # fmt: skip  # a table reads better as one
def test_what_is_not_what_was_permitted_runs_nothing(
    place: Place, told: dict[str, Any], wanted: tuple[int, str]
) -> None:
    app = Paying()
    assert code(ask(place, app, **told)) == wanted
    assert app.given == []


def test_what_is_answered_to_a_head_has_no_body(place: Place) -> None:
    for path in ("/pay", "/livez", "/none"):
        assert ask(place, Paying(), REQUEST_METHOD="HEAD", PATH_INFO=path) == (403, b"")
    looked = Endpoints({"HEAD /pay": "bank__pay"})
    app = Paying(b"")
    for _ in range(2):
        told = environ(place, REQUEST_METHOD="HEAD")
        status, written, taken = asked(WsgiGuard(app, place.verifier, looked), told)
        assert (status, written + b"".join(taken)) == (200, b"")
    assert len(app.given) == 1


def test_a_body_that_the_server_ends_is_taken_whole(place: Place) -> None:
    app = Paying()
    more = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert ask(place, app, **more) == (200, b"paid")
    assert app.given[0][0] == BODY
    assert "HTTP_TRANSFER_ENCODING" not in app.given[0][1]


def test_an_application_that_raises_leaves_what_nobody_knows(place: Place) -> None:
    def app(_: Any, __: Any) -> Iterable[bytes]:
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        ask(place, app)
    assert code(ask(place, app)) == (409, "outcome-not-known")


@pytest.mark.parametrize("at", ["call", "part"])
def test_what_an_application_raises_is_raised_though_its_claim_can_not_be_written(
    place: Place, at: str
) -> None:
    with ExitStack() as disk:

        def parts() -> Iterator[bytes]:
            yield b"half"
            raise RuntimeError("broke")

        def app(_: Any, start: Any) -> Iterable[bytes]:
            disk.enter_context(full(place))
            if at == "call":
                raise RuntimeError("broke")
            start("200 OK", [])
            return parts()

        with pytest.raises(RuntimeError, match="broke"):
            ask(place, app)
    assert code(ask(place, Paying())) == (409, "outcome-not-known")


def test_an_answer_that_breaks_off_leaves_what_nobody_knows(place: Place) -> None:
    def app(_: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"half"
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        ask(place, app)
    assert code(ask(place, app)) == (409, "outcome-not-known")


@pytest.mark.parametrize(("length", "wanted"), [(True, 200), (False, 409)])
def test_who_goes_away_is_told_later_what_was_answered_where_it_was_whole(
    place: Place, *, length: bool, wanted: int
) -> None:
    app = Paying(length=length)
    guarded = WsgiGuard(app, place.verifier, ENDPOINTS)
    assert asked(guarded, environ(place), parts=2 if length else 1)[0] == 200
    assert ask(place, app)[0] == wanted
    assert len(app.given) == 1


def test_what_is_written_is_kept_as_well(place: Place) -> None:
    def app(_: Any, start: Any) -> Iterable[bytes]:
        write = start("200 OK", [])
        write(b"pa")
        return [b"id"]

    assert ask(place, app) == ask(place, app) == (200, b"paid")


def test_of_an_answer_that_is_longer_than_is_kept_a_repeat_is_told_the_digest(place: Place) -> None:
    app = Paying(b"x" * (MAX_KEPT + 1))
    assert ask(place, app)[0] == 200
    assert code(ask(place, app)) == (409, "outcome-not-known")
    assert len(app.given) == 1


def test_an_application_that_says_no_head_leaves_what_nobody_knows(place: Place) -> None:
    guarded = WsgiGuard(lambda _, __: [b"half"], place.verifier, ENDPOINTS)
    found = guarded(environ(place), lambda *_: None)  # type: ignore[arg-type]  # nothing is written
    assert list(found) == [b"half"]
    found.close()  # type: ignore[attr-defined]  # an answer of the application's
    assert code(ask(place, Paying())) == (409, "outcome-not-known")


def test_an_answer_that_can_not_be_kept_is_passed_on_and_then_raised(place: Place, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "claims" / "claims.db", isolation_level=None)
    taken: list[bytes] = []

    def app(_: Any, start: Any) -> Iterable[bytes]:
        place.claims._connection().execute("PRAGMA busy_timeout = 0")  # noqa: SLF001 - nobody waits for a test
        holder.execute("BEGIN IMMEDIATE")
        start("200 OK", [])
        return [b"paid"]

    found = WsgiGuard(app, place.verifier, ENDPOINTS)(environ(place), lambda *_: taken.append)
    taken += list(found)
    with pytest.raises(AnswerUnkeptError):
        found.close()  # type: ignore[attr-defined]  # an answer of the application's
    holder.execute("ROLLBACK")
    holder.close()
    assert taken == [b"paid"]
    assert code(ask(place, Paying())) == (409, "outcome-not-known")


def test_what_is_public_reaches_the_application_as_it_is(place: Place) -> None:
    seen: list[Any] = []

    def app(told: Any, start: Any) -> Iterable[bytes]:
        seen.append(told)
        start("200 OK", [])
        return []

    told = environ(place, REQUEST_METHOD="GET", PATH_INFO="/livez", HTTP_TXN_TOKEN=...)
    asked(WsgiGuard(app, place.verifier, ENDPOINTS), told)
    assert seen == [told]
