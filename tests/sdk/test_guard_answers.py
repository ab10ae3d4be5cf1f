from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taskbound.sdk.guard.carried import carry
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import NotCarriedError, TaskNotEndedError, TaskNotStartedError
from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.guard.holder import ApiLostError
from taskbound.sdk.guard.proof import Proof, SubjectToken
from taskbound.sdk.guard.signature import definition_digest
from taskbound.sdk.guard.speaker import ClientSettings
from tests.sdk.notes import Here

Answer = tuple[int, dict[str, str], Any]
GIVEN = {
    "access_token": "text",
    "token_type": "DPoP",
    "expires_in": 60,
    "authorization_details": [{"identifier": "tsk_1", "deadline": 1, "heartbeat": 60, "grace": 60}],
}


class Asked:
    """A server that answers as it is told, whatever is asked of it; what was asked stands in `paths`."""

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []
        self.origin = ""

    def client(self) -> Client:
        proof = Proof(kind="token", read=lambda: "proof")
        told = ClientSettings(origin=self.origin, proof=proof, subject=SubjectToken(read=lambda: "subject"))
        return Client(told, Here(socket=Path("/nowhere")))

    def begin(self) -> None:
        """Start a task, and end it."""
        client = self.client()
        try:
            with client.task("why", template="notes"):
                pass
        finally:
            client.close()


@contextmanager
def answering(*answers: Answer | None) -> Iterator[Asked]:
    """Such a server; None ends the connection without an answer."""
    told = Asked(*answers)

    class AsTold(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.paths.append(self.path)
            answer = told.answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, headers, said = answer
            body = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), AsTold) as server:
        told.origin = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


TOKEN, END = "/oauth/token", "/v1/task/end"
DONE: Answer = (200, {}, {"is": "done", "detail": "completed"})
BEGUN: Answer = (200, {}, GIVEN)
NONCE = {"DPoP-Nonce": "n1"}


def test_a_beginning_that_wants_a_nonce_is_asked_for_once_more() -> None:
    wanting: Answer = (400, NONCE, {"error": "use_dpop_nonce"})
    with answering(wanting, BEGUN, DONE) as one:
        one.begin()
        assert one.paths == [TOKEN, TOKEN, END]


@pytest.mark.parametrize("answer", [(503, NONCE, {"error": "temporarily_unavailable"}), None])
def test_law_7_a_beginning_that_may_have_been_taken_is_not_asked_for_again(answer: Answer | None) -> None:
    with answering(answer) as one, pytest.raises(ApiLostError) as caught:
        one.begin()
    assert one.paths == [TOKEN]
    assert "ends by itself" in caught.value.added_notes()[0]


def test_too_many_requests_start_nothing_and_say_so() -> None:
    with answering((429, {}, {"error": "temporarily_unavailable"})) as one:
        with pytest.raises(TaskNotStartedError) as caught:
            one.begin()
        assert caught.value.advice == "try again later"


def test_a_daemon_that_does_not_say_which_task_it_started_is_refused() -> None:
    older = {name: value for name, value in GIVEN.items() if name != "authorization_details"}
    with answering((200, {}, older)) as one, pytest.raises(TaskNotStartedError, match="which one"):
        one.begin()


BUSY: Answer = (429, {}, {"code": "too-many-requests"})
AWAY: Answer = (503, {}, {"code": "daemon-lost"})


@pytest.mark.parametrize("answer", [None, BUSY, AWAY], ids=["lost", "busy", "away"])
def test_an_end_is_said_until_it_is_taken(answer: Answer | None) -> None:
    with answering(BEGUN, answer, DONE) as one:
        one.begin()
        assert one.paths == [TOKEN, END, END]


def test_an_end_that_is_refused_is_said_once() -> None:
    refused: Answer = (403, {}, {"code": "operation-forbidden", "detail": "no", "advice": "ask"})
    with answering(BEGUN, refused) as one:
        with pytest.raises(TaskNotEndedError, match="operation-forbidden") as caught:
            one.begin()
        assert (one.paths, caught.value.advice) == ([TOKEN, END], "ask")


PERMIT = {
    "is": "action-permitted",
    "action": "act_1",
    "tool": "notes__book",
    "arguments": {"text": "milk"},
    "definition": "",
}
TAKEN: Answer = (200, {}, {"is": "outcome-taken", "action": "act_1", "result": "may-leave"})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, {}, {"error": "temporarily_unavailable"}), ApiLostError),
        ((429, {}, {"error": "temporarily_unavailable"}), ApiLostError),
        ((400, {}, {"error": "invalid_request", "error_description": "no"}), NotCarriedError),
    ],
)
def test_a_token_that_is_not_to_be_had_is_told_as_why(answer: Answer, error: type[Exception]) -> None:
    @guard(server="notes", effect="write", failed=(ApiLostError, NotCarriedError))
    def book(text: str) -> None:
        """Book a text."""
        del text
        carry()

    permitted = {**PERMIT, "definition": definition_digest(book.definition)}
    with answering(BEGUN, (200, {}, permitted), answer, TAKEN, DONE) as one:
        client = one.client()
        with client.task("why", template="notes"), pytest.raises(error):
            book("milk")
        client.close()
        assert one.paths == [TOKEN, "/v1/actions", TOKEN, "/v1/actions/act_1/outcome", END]
