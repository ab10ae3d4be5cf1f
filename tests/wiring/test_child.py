from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.broker_key import ask_broker_key
from taskbound.adapters.keys.socket import SocketSigner
from taskbound.adapters.upstream.egress import ask_key
from taskbound.core.errors import UnavailableError
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wiring.child import (
    BrokerChild,
    BrokerNotStartedError,
    Child,
    EgressChild,
    EgressNotStartedError,
    SignerChild,
    explain_silence,
)
from taskbound.wiring.home import make_home

if TYPE_CHECKING:
    from collections.abc import Callable

ORIGIN = "example.com/log"


class Elapsed:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    make_home(path)
    return path


def key_of(child: SignerChild) -> str:
    one = SocketSigner(child.socket)
    try:
        return one.verifier_key(ORIGIN)
    finally:
        one.close()


def test_a_signer_that_was_started_answers_and_ends_when_stopped(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=True)
    child.start()
    assert key_of(child)
    child.stop()
    with pytest.raises(SignerUnavailableError):
        key_of(child)


def test_starting_one_that_runs_leaves_it_alone(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=True)
    child.start()
    first = child.pid
    child.start()
    assert child.pid == first
    child.stop()


def test_one_that_has_ended_is_started_again_at_once_with_the_same_key(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=True, elapsed=Elapsed())
    child.start()
    key, first = key_of(child), child.pid
    child.stop()
    child.start()
    assert child.pid != first
    assert key_of(child) == key
    child.stop()


def test_no_key_is_made_for_a_log_that_may_have_been_signed(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=False)
    with pytest.raises(SignerUnavailableError, match="key-missing"):
        child.start()
    assert not (home / "signer").exists()


def test_one_that_does_not_start_says_why_and_is_tried_again_after_a_pause_that_grows(home: Path) -> None:
    elapsed = Elapsed()
    child = SignerChild(home, ORIGIN, create=False, elapsed=elapsed)
    for pause in (1, 2, 4, 8, 16, 30, 30):
        with pytest.raises(SignerUnavailableError, match="key-missing"):
            child.start()
        tried = child.pid
        elapsed.seconds += pause - 0.5
        with pytest.raises(SignerUnavailableError, match="key-missing"):
            child.start()
        assert child.pid == tried
        elapsed.seconds += 0.5
    child.create = True
    child.start()
    assert key_of(child)
    child.stop()


def test_one_that_is_slower_than_its_bound_gets_twice_as_long_until_it_starts(home: Path) -> None:
    elapsed = Elapsed()
    child = SignerChild(home, ORIGIN, create=True, elapsed=elapsed, patience=0.001)
    told: list[str] = []
    for _ in range(20):
        try:
            child.start()
        except SignerUnavailableError as error:
            told.append(error.message)
            elapsed.seconds += 30
        else:
            break
    assert told[0] == (
        "the signer does not start: it was not ready within 0.001 seconds; the next one has 0.002"
    )
    assert key_of(child)
    child.stop()


def test_one_that_ends_without_a_word_says_with_which_status(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=True, words=("--what-no-signer-knows",), patience=60)
    with pytest.raises(SignerUnavailableError) as found:
        child.start()
    assert found.value.message == "the signer does not start: it ended with status 2"


def test_who_has_more_descriptors_than_select_can_name_hears_it_all_the_same(home: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(2_048, before[1])), before[1]))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_100)]
    child = SignerChild(home, ORIGIN, create=True)
    try:
        child.start()
        assert child.pid
    finally:
        for one in opened:
            os.close(one)
        child.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_one_that_was_left_is_started_no_more(home: Path) -> None:
    child = SignerChild(home, ORIGIN, create=True)
    child.leave()
    with pytest.raises(SignerUnavailableError, match="its daemon is ending"):
        child.start()
    assert child.pid == 0


@pytest.mark.parametrize(
    ("name", "error", "ask"),
    [("egress", EgressNotStartedError, ask_key), ("broker", BrokerNotStartedError, ask_broker_key)],
)
def test_command_that_waits_for_an_egress_or_broker_says_why_it_did_not_start(
    home: Path, name: str, error: type[UnavailableError], ask: Callable[..., str]
) -> None:
    def make() -> Child:
        daemon = home / "run" / "daemon.sock"
        if name == "egress":
            return EgressChild(home, daemon, level="info")
        return BrokerChild(home, daemon, words=(), level="info")

    (home / name).mkdir()
    (home / name).chmod(0o755)
    child = make()
    with pytest.raises(error) as logged:
        child.start()
    with pytest.raises(error) as told, explain_silence(child.socket, error):
        ask(child.socket, patience=0.0)
    assert told.value.message == logged.value.message
    assert str(home / name) in told.value.message
    make()  # of the next daemon, which has not tried yet
    with pytest.raises(UnavailableError, match="answers at") as silent, explain_silence(child.socket, error):
        ask(child.socket, patience=0.0)
    assert not isinstance(silent.value, error)
