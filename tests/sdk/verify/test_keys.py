from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.sdk.verify import IssuerKeys
from taskbound.sdk.verify.errors import KeysUnreadError
from tests.house.tree import ROOT
from tests.sdk.verify.world import Place, Places
from tests.tokens import NOW, es256


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def test_keys_are_read_at_the_first_token_and_kept_for_a_minute(place: Place) -> None:
    place.accepted(place.token())
    place.later(59)
    place.accepted(place.token(txn="act_2"))
    assert place.fetched == 1
    place.later(1)
    place.accepted(place.token(txn="act_3"))
    assert place.fetched == 2


def test_a_key_that_is_not_known_is_looked_for_once_in_ten_seconds(place: Place) -> None:
    place.accepted(place.token())
    for _ in range(50):
        assert place.why(place.token(header={"kid": "key-2"}))[1] == "token-key"
    assert place.fetched == 1
    place.later(10)
    for _ in range(50):
        assert place.why(place.token(header={"kid": "key-2"}))[1] == "token-key"
    assert place.fetched == 2


def test_a_key_that_follows_is_taken_when_it_is_first_seen(place: Place) -> None:
    place.accepted(place.token())
    following = es256("key-2", seed=11)
    place.published.append(following)
    place.later(10)
    assert place.accepted(place.token(signer=following, txn="act_2")).said.key == "key-2"


def test_a_key_that_is_published_no_more_goes_with_the_next_reading(place: Place) -> None:
    place.accepted(place.token())
    place.published = [es256("key-2", seed=11)]
    place.later(60)
    assert place.why(place.token(txn="act_2")) == (401, "token-key", "valid-token")


def test_an_issuer_that_is_away_changes_nothing_for_five_minutes_and_ends_it_all_then(place: Place) -> None:
    place.accepted(place.token())
    place.unreachable = True
    place.later(299)
    assert place.accepted(place.token(txn="act_2")).said.key == "key-1"
    place.later(1)
    assert place.why(place.token(txn="act_3")) == (503, "keys-unread", "issuer-keys")
    fetched = place.fetched
    place.later(10)
    assert place.why(place.token(txn="act_3")) == (503, "keys-unread", "issuer-keys")
    assert place.fetched == fetched + 1
    place.unreachable = False
    place.later(10)
    assert place.accepted(place.token(txn="act_4")).said.key == "key-1"


def test_an_issuer_that_was_never_reached_lets_nothing_pass_and_is_not_asked_for_each_request(
    place: Place,
) -> None:
    place.unreachable = True
    for _ in range(20):
        assert place.why(place.token()) == (503, "keys-unread", "issuer-keys")
    assert place.fetched == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"<html>",
        b'{"keys":[{"kty":"oct","k":"AAAA","kid":"key-1","alg":"HS256"}]}',
    ],
)
def test_a_document_that_is_no_set_of_keys_changes_nothing(document: bytes) -> None:
    at = [Instant(seconds(NOW))]
    answers = [json.dumps({"keys": [es256("key-1").members]}).encode(), document]
    keys = IssuerKeys(lambda: answers.pop(0), lambda: at[0])
    assert [one.kid for one in keys.keys("key-1")] == ["key-1"]
    at[0] = Instant(at[0] + seconds(61))
    assert [one.kid for one in keys.keys("key-1")] == ["key-1"]
    assert answers == []


def test_of_many_threads_that_wait_for_the_keys_one_reads_them() -> None:
    reading, may = threading.Event(), threading.Event()
    fetched: list[int] = []

    def fetch() -> bytes:
        fetched.append(1)
        reading.set()
        may.wait(20)
        return json.dumps({"keys": [es256("key-1").members]}).encode()

    keys = IssuerKeys(fetch, lambda: Instant(seconds(NOW)))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(keys.keys("key-1")))) for _ in range(8)]
    for one in threads:
        one.start()
    assert reading.wait(20)
    may.set()
    for one in threads:
        one.join()
    assert (fetched, found) == ([1], [1] * 8)


def test_who_has_a_known_key_does_not_wait_for_an_issuer_that_hangs() -> None:
    reading, may = threading.Event(), threading.Event()
    at = [Instant(seconds(NOW))]
    answer = json.dumps({"keys": [es256("key-1").members]}).encode()
    may.set()

    def fetch() -> bytes:
        reading.set()
        may.wait(20)
        return answer

    keys = IssuerKeys(fetch, lambda: at[0])
    keys.keys("key-1")
    may.clear()
    reading.clear()
    at[0] = Instant(at[0] + seconds(70))
    other = threading.Thread(target=keys.keys, args=("key-1",))
    other.start()
    assert reading.wait(20)
    assert [one.kid for one in keys.keys("key-1")] == ["key-1"]
    assert other.is_alive()
    may.set()
    other.join()


class Hanging:
    """An issuer that answers at once or when it may, and the keys as one service reads them."""

    def __init__(self) -> None:
        self.at = Instant(seconds(NOW))
        self.reading, self.may = threading.Event(), threading.Event()
        self.may.set()
        self.fetched = 0
        self.keys = IssuerKeys(self.fetch, lambda: self.at)

    def fetch(self) -> bytes:
        self.fetched += 1
        self.reading.set()
        if not self.may.wait(20):
            raise TimeoutError
        return json.dumps({"keys": [es256("key-1").members]}).encode()

    @contextmanager
    def hangs(self, kid: str) -> Iterator[None]:
        """One thread looks for this key, and the issuer does not answer meanwhile."""
        self.may.clear()
        self.reading.clear()
        other = threading.Thread(target=self.keys.keys, args=(kid,))
        other.start()
        assert self.reading.wait(20)
        try:
            yield
        finally:
            self.may.set()
            other.join()

    def later(self, count: int) -> None:
        self.at = Instant(self.at + seconds(count))


def test_who_makes_up_a_key_does_not_wait_for_an_issuer_that_hangs() -> None:
    issuer = Hanging()
    issuer.keys.keys("key-1")
    issuer.later(10)
    with issuer.hangs("made-up-0"):
        for number in range(1, 50):
            with pytest.raises(KeysUnreadError, match="are being read"):
                issuer.keys.keys(f"made-up-{number}")
        assert [one.kid for one in issuer.keys.keys("key-1")] == ["key-1"]
    assert issuer.fetched == 2


def test_an_issuer_that_hangs_is_asked_again_ten_seconds_after_it_ended() -> None:
    issuer = Hanging()
    issuer.keys.keys("key-1")
    issuer.later(10)
    with issuer.hangs("made-up"):
        issuer.later(15)
    for _ in range(20):
        assert [one.kid for one in issuer.keys.keys("made-up")] == ["key-1"]
    assert issuer.fetched == 2
    issuer.later(10)
    issuer.keys.keys("made-up")
    assert issuer.fetched == 3


def test_the_child_of_a_fork_reads_the_keys_itself_while_a_thread_of_the_parent_does(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(FORKING)
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["child", "1", "parent", "1"]


FORKING = """
import json, os, threading
from taskbound.core.clock import Instant, seconds
from taskbound.sdk.verify import IssuerKeys
from tests.tokens import NOW, es256

parent, reading, may = os.getpid(), threading.Event(), threading.Event()

def fetch():
    if os.getpid() == parent:
        reading.set()
        may.wait(20)
    return json.dumps({"keys": [es256("key-1").members]}).encode()

keys = IssuerKeys(fetch, lambda: Instant(seconds(NOW)))
found = []
other = threading.Thread(target=lambda: found.append(len(keys.keys("key-1"))))
other.start()
reading.wait(20)
child = os.fork()
if child == 0:
    asking = threading.Thread(target=lambda: found.append(len(keys.keys("key-1"))), daemon=True)
    asking.start()
    asking.join(10)
    print("child", *found, flush=True)
    os._exit(0)
os.waitpid(child, 0)
may.set()
other.join()
print("parent", *found, flush=True)
"""
