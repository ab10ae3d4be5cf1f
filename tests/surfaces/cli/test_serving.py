"""`taskbound serve`, where its API can't be as it was told: nothing is started, and that is said."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from tests.peers.ports import free_port
from tests.surfaces.cli.installation import Installation
from tests.wiring.running import until


@contextmanager
def taken() -> Iterator[int]:
    """A port of the loopback that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one.getsockname()[1]


def test_a_port_that_is_taken_is_told_at_once_and_no_daemon_runs(fresh: Installation) -> None:
    with taken() as port:
        ended = fresh.ended("serve", "--port", str(port))
        assert ended.status == 4
        assert f"nothing can listen at 127.0.0.1:{port}: another program listens there" in ended.err
        assert "what to do: end that one, or take another port" in ended.err
        told = json.loads(fresh.ended("serve", "--port", str(port), "--json").err.splitlines()[-1])
        assert (told["is"], told["code"]) == ("fault", "cannot-listen")
    assert fresh("serve", "--end", "--json").document == {"is": "not-running", "process": 0}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('api_origin = "https://API.example.org"', "bad-address"),
        ('api_tls_certificate = "/none.pem"\napi_tls_key = "/none.key"', "bad-tls"),
        ('api_tls_certificate = "/none.pem"', "bad-address"),
    ],
)
def test_settings_that_no_api_can_have_are_told_at_once(fresh: Installation, line: str, code: str) -> None:
    fresh.home.mkdir(mode=0o700)
    told = f'api_address = "127.0.0.1:0"\n{line}\n'
    (fresh.home / "taskbound.toml").write_text(told, encoding="utf-8")
    ended = fresh.ended("serve")
    assert (ended.status != 0, f"[{code}]" in ended.err, "Traceback" in ended.err) == (True, True, False)
    assert fresh("serve", "--end", "--json").document == {"is": "not-running", "process": 0}


@contextmanager
def serving(fresh: Installation, port: int) -> Iterator[Popen[str]]:
    """A daemon that serves, whose API listens."""
    with fresh.spawn("serve", "--port", str(port)) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("serving ")
            until(lambda: listens(port), "its API listens")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def listens(port: int) -> bool:
    with socket.socket() as one:
        return not one.connect_ex(("127.0.0.1", port))


def test_where_a_daemon_runs_that_is_told_and_not_that_its_api_has_the_port(fresh: Installation) -> None:
    port = free_port()
    with serving(fresh, port):
        again = fresh.ended("serve", "--port", str(port))
    assert (again.status, "[home-in-use]" in again.err, "cannot-listen" in again.err) == (4, True, False)


def test_k20_after_a_daemon_that_was_killed_another_one_serves_at_the_same_place(fresh: Installation) -> None:
    port = free_port()
    with serving(fresh, port) as first:
        first.kill()
        with serving(fresh, port):
            assert first.wait() == -signal.SIGKILL


def test_of_two_at_once_one_serves_and_the_other_is_told_so(fresh: Installation) -> None:
    words = ("serve", "--port", str(free_port()))
    with fresh.spawn(*words) as one, fresh.spawn(*words) as other:
        try:
            until(lambda: None not in {one.poll(), other.poll()} or one.poll() != other.poll(), "one ends")
            winner, loser = (one, other) if one.poll() is None else (other, one)
            assert loser.stderr is not None
            assert (loser.returncode, "[home-in-use]" in loser.stderr.read()) == (4, True)
            assert winner.stdout is not None
            assert winner.stdout.readline().startswith("serving ")
        finally:
            one.send_signal(signal.SIGTERM)
            other.send_signal(signal.SIGTERM)
