"""What an application or a server of WSGI does beside the usual: rules 1 to 4 of `wsgi`."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.token.shared import MAX_KEPT
from taskbound.sdk.verify import Head, Holders
from taskbound.sdk.verify.errors import OutcomeUnknownError
from taskbound.sdk.verify.function import verified
from taskbound.sdk.verify.waiting import whole
from taskbound.sdk.verify.wsgi import WsgiGuard
from tests.sdk.verify.test_wsgi import ENDPOINTS, Paying, ask, asked, code, environ
from tests.sdk.verify.world import DEFINITION, Place, Places


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def test_a_refusal_names_what_is_missing_at_the_place_where_it_was_refused(place: Place) -> None:
    told: list[Any] = []

    def start(*head: Any) -> Any:
        told.append(head)
        return told.append

    guarded = WsgiGuard(Paying(), place.verifier, ENDPOINTS)
    for path in ("/other", "/pay\xff"):
        list(guarded(environ(place, PATH_INFO=path), start))
        status, headers = told[-1]
        assert status == "403 Forbidden"
        assert dict(headers)["WWW-Authenticate"] == (
            'Taskbound error="endpoint-unknown", missing="declared-endpoint", domain="corp.example"'
        )


def test_what_a_connection_has_shown_is_asked_for(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, holding=Holders(shown_by={"agent:coder": ["x5t#S256:abc"]}))
    app = Paying()
    assert code(ask(place, app)) == (403, "holder-not-shown")
    shown = WsgiGuard(app, place.verifier, ENDPOINTS, showings=lambda told: (told["tests.shown"],))
    for showing, wanted in (("x5t#S256:other", 403), ("x5t#S256:abc", 200)):
        told = environ(place) | {"tests.shown": showing}
        assert asked(shown, told)[0] == wanted
    assert len(app.given) == 1


def test_a_body_of_just_the_limit_is_read_and_one_with_two_lengths_is_not(place: Place) -> None:
    def sent(size: int, **more: Any) -> tuple[int, str]:
        body = b"y" * size
        return code(
            ask(place, Paying(), **{"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(size), **more})
        )

    assert sent(1000) == (403, "other-content")  # it was read
    assert sent(1001) == (413, "body-large")
    ended = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert sent(1000, **ended, CONTENT_LENGTH="") == (403, "other-content")
    assert sent(1001, **ended, CONTENT_LENGTH="") == (413, "body-large")
    assert sent(1000, **ended) == (411, "body-length")


class Answering:
    """An application whose answer has these headers and parts, and knows whether it was closed."""

    def __init__(self, *parts: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.parts, self.headers = parts, headers
        self.runs = self.closed = 0

    def __call__(self, _: Any, start: Any) -> Iterable[bytes]:
        self.runs += 1
        start("201 Created", [*self.headers])
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        self.closed += 1


def test_an_answer_is_closed_and_told_again_whole(place: Place) -> None:
    app = Answering(b"pa", b"id", headers=(("Content-Length", "4"),))
    assert ask(place, app) == ask(place, app) == (201, b"paid")
    assert (app.runs, app.closed) == (1, 1)


def test_of_an_answer_that_says_its_length_a_part_is_not_the_whole(place: Place) -> None:
    app = Answering(b"pa", b"id", headers=(("Content-Length", "4"),))
    guarded = WsgiGuard(app, place.verifier, ENDPOINTS)
    assert asked(guarded, environ(place), parts=1)[2] == [b"pa"]
    assert code(ask(place, app)) == (409, "outcome-not-known")
    assert app.runs == 1


@pytest.mark.parametrize("length", ["four", "-1", "4, 4"])
def test_a_length_that_is_none_says_nothing_of_the_end(place: Place, length: str) -> None:
    app = Answering(b"paid", headers=(("Content-Length", length),))
    guarded = WsgiGuard(app, place.verifier, ENDPOINTS)
    assert asked(guarded, environ(place), parts=1)[2] == [b"paid"]
    assert code(ask(place, app)) == (409, "outcome-not-known")


def test_an_answer_that_breaks_is_lost_also_where_the_server_closes_nothing(place: Place) -> None:
    def app(_: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"half"
        raise RuntimeError("broke")

    found = iter(WsgiGuard(app, place.verifier, ENDPOINTS)(environ(place), lambda *_: list[bytes]().append))
    assert next(found) == b"half"
    with pytest.raises(RuntimeError, match="broke"):
        next(found)
    assert code(ask(place, Paying())) == (409, "outcome-not-known")


def test_what_went_wrong_in_an_application_reaches_the_server_and_nothing_does_where_nothing_did(
    place: Place,
) -> None:
    started: list[tuple[Any, ...]] = []

    def break_it() -> None:
        raise RuntimeError("broke")

    def app(_: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        try:
            break_it()
        except RuntimeError:
            start("500 Broken", [], sys.exc_info())
        return [b"sorry"]

    def start(*told: Any) -> Any:
        started.append(told)
        return list[bytes]().append

    found = WsgiGuard(app, place.verifier, ENDPOINTS)(environ(place), start)
    assert list(found) == [b"sorry"]
    assert started[0] == ("200 OK", [])
    assert (started[1][:2], started[1][2][0]) == (("500 Broken", []), RuntimeError)
    assert ask(place, Paying()) == (500, b"sorry")  # as it was answered


@pytest.mark.parametrize("size", [MAX_KEPT - 2, MAX_KEPT - 1])
def test_of_a_result_of_a_function_that_is_too_long_a_repeat_is_told_its_digest(
    place: Place, size: int
) -> None:
    text = "x" * size  # and two quotes
    runs: list[int] = []

    @verified(place.verifier, "bank__pay", definition=DEFINITION)
    def pay(account: str, cents: int) -> str:
        assert account == "7"
        runs.append(cents)
        return text

    def call() -> str:
        return pay(Head(tokens=[place.token()]), account="7", cents=300)

    assert call() == text
    if size == MAX_KEPT - 2:
        assert call() == text
    else:
        with pytest.raises(OutcomeUnknownError) as raised:
            call()
        assert sha256(f'"{text}"'.encode()).hexdigest() in raised.value.message
        assert f"of {MAX_KEPT + 1} bytes" in raised.value.message
    assert runs == [300]


def test_what_is_waited_for_whole_ends_and_then_the_cancellation_is_raised() -> None:
    begun, go, done = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        assert go.wait(30)
        done.append("whole")

    async def story() -> None:
        task = asyncio.create_task(whole(work))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.to_thread(begun.is_set)  # the loop goes round: it is cancelled before the work ends
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["whole"]

    asyncio.run(story())
