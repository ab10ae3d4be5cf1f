"""What a shell tells over HTTP, and what it keeps of an answer: rules of `told`."""

from __future__ import annotations

from hashlib import sha256

import pytest

from taskbound.core.token.shared import MAX_KEPT, ServedAnswer
from taskbound.sdk.verify import Refused, Step
from taskbound.sdk.verify.errors import StatusUnknownError, TokenAbsentError
from taskbound.sdk.verify.refused import Recording, tell_answer, tell_refused

OF_A_CONNECTION = (
    *("Connection", "Content-Length", "Date", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization"),
    *("Server", "Set-Cookie", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
)


@pytest.mark.parametrize("name", OF_A_CONNECTION)
def test_what_belongs_to_a_connection_a_moment_or_a_browser_is_not_kept(name: str) -> None:
    recording = Recording()
    recording.start(200, [(name, "x"), (name.upper(), "x"), ("Content-Type", "text/plain"), ("ETag", "y")])
    assert recording.answer().headers == (("Content-Type", "text/plain"), ("ETag", "y"))


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_is_kept_to_the_bound_and_its_digest_whole(over: int) -> None:
    recording = Recording()
    recording.start(201, [])
    parts = [b"a" * (MAX_KEPT - 3), b"bcd", b"e" * over]
    for one in parts:
        recording.add(one)
    whole = b"".join(parts)
    found = recording.answer()
    assert (found.status, found.length, recording.length) == (201, len(whole), len(whole))
    assert found.digest == sha256(whole).hexdigest()
    assert found.body == (None if over else whole)


def test_what_came_after_too_much_is_not_kept_as_if_it_were_the_whole() -> None:
    recording = Recording()
    recording.start(200, [])
    for one in (b"x" * (MAX_KEPT + 1), b"", b"y"):
        recording.add(one)
    assert recording.answer().body is None


def test_an_answer_is_told_as_it_was_with_its_own_length() -> None:
    plain = {"status": 201, "headers": (("ETag", "y"),), "digest": "d" * 64}
    told = tell_answer(ServedAnswer(**plain, length=4, body=b"paid"))  # type: ignore[arg-type]  # each is its kind
    assert told == (
        201,
        (("ETag", "y"), ("Taskbound-Answer", "recorded"), ("Content-Length", "4")),
        b"paid",
    )
    empty = tell_answer(ServedAnswer(**plain, length=0, body=b""))  # type: ignore[arg-type]  # the same
    assert empty.headers[-1] == ("Content-Length", "0")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_ends_with_its_head_says_no_length(status: int) -> None:
    answer = ServedAnswer(status=status, headers=(("ETag", "y"),), digest="d" * 64, length=0, body=b"")
    assert tell_answer(answer) == (status, (("ETag", "y"), ("Taskbound-Answer", "recorded")), b"")


def test_a_refusal_says_when_to_come_again_only_where_that_is_of_use() -> None:
    later = Refused(error=StatusUnknownError("nobody says"), step=Step.STATUS)
    never = Refused(error=TokenAbsentError("there is none"), step=Step.TOKEN)
    for refused, wanted in ((later, ["1"]), (never, [])):
        told = tell_refused(refused, domain="corp.example", tool="bank__pay")
        assert [value for name, value in told.headers if name == "Retry-After"] == wanted
        names = dict(told.headers)
        assert names["Content-Length"] == str(len(told.body))
        assert (names["Cache-Control"], names["Content-Type"]) == ("no-store", "application/problem+json")
