"""Two guards of one service that share its claims, over one daemon: rule 6 of `wiring.proxied_file`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.task import PauseTask, ResumeTask
from tests.wiring.guarding import World
from tests.wiring.proxying import Told, guard_file, optional, proxied
from tests.wiring.running import Running, client, until
from tests.wiring.test_guarding_guide import registered
from tests.wiring.test_proxied import ask, run

SHARED = '"shared"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with the service `echo`, whose two machines have a key each."""
    folder = tmp_path_factory.mktemp("shared")
    with optional(folder) as one:
        registered(one, "echo", folder / "one.pem", folder / "two.pem")
        (one.one.home.parent / "echo-of-all.pem").write_bytes((folder / "one.pem").read_bytes())
        yield one


@pytest.fixture
def places(world: World, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Where two guards are asked, each with a folder and a key of its own, and no file of claims."""
    folders = [tmp_path / name for name in ("one", "two")]
    files = [machine(world, folder) for folder in folders]
    with Running("proxied", str(files[0])), Running("proxied", str(files[1])):
        yield folders[0] / "guard.sock", folders[1] / "guard.sock"
    assert not any((folder / "claims").exists() for folder in folders)


def machine(world: World, folder: Path, kind: str = "nginx") -> Path:
    """The file of a guard on a machine of its own."""
    folder.mkdir()
    (folder / "echo.pem").write_bytes((world.folder / f"{folder.name}.pem").read_bytes())
    return guard_file(folder, world, kind, claims=SHARED)


def passed(told: Told) -> bool:
    return told.status == 200 and told.all("x-accel-redirect") == ["@permitted"]


def test_what_one_guard_let_pass_no_other_one_does(world: World, places: tuple[Path, Path]) -> None:
    one, other = places
    body, token = world.permitted()
    assert passed(ask(one, token, body=body))
    for place in (other, one):
        again = ask(place, token, body=body)
        assert (again.status, again.error) == (409, "outcome-not-known")
    body, token = world.permitted()
    assert passed(ask(other, token, body=body))
    assert ask(one, token, body=body).error == "outcome-not-known"


def test_another_request_of_a_transaction_passes_at_no_guard(world: World, places: tuple[Path, Path]) -> None:
    one, other = places
    body, token = world.permitted()
    assert passed(ask(one, token, body=body))
    # The same arguments at another endpoint that is the same tool.
    elsewhere = ask(other, token, body=body, line="POST /again")
    assert (elsewhere.status, elsewhere.error) == (409, "other-request")


def test_of_many_that_come_to_both_at_once_one_passes(world: World, places: tuple[Path, Path]) -> None:
    body, token = world.permitted()
    ready = threading.Barrier(8)
    told: list[Told] = []

    def send(number: int) -> None:
        ready.wait()
        told.append(ask(places[number % 2], token, body=body))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(map(passed, told)) == [False] * 7 + [True]
    assert {one.error for one in told if not passed(one)} <= {"outcome-not-known", "still-at-it"}


def test_a_guard_that_was_killed_after_its_yes_leaves_nothing_for_the_other(
    world: World, tmp_path: Path
) -> None:
    first, second = machine(world, tmp_path / "one"), machine(world, tmp_path / "two")
    body, token = world.permitted()
    with Running("proxied", str(first)) as guard:
        assert passed(ask(first.parent / "guard.sock", token, body=body))
        guard.end(signal.SIGKILL)
    with Running("proxied", str(second)):
        assert ask(second.parent / "guard.sock", token, body=body).error == "outcome-not-known"


def test_what_ended_before_it_began_passes_at_none_though_neither_has_heard(
    world: World, places: tuple[Path, Path]
) -> None:
    body, token = world.permitted()
    with client(world.one.socket) as person:
        person.ask(PauseTask(task=world.one.task), Done)
        try:
            # At once: the feed may not have said it yet.
            told = [ask(place, token, body=body) for place in places]
        finally:
            person.ask(ResumeTask(task=world.one.task), Done)
    assert {one.error for one in told} <= {"revoked", "begin-refused"}
    assert {one.status for one in told} == {403}


def test_where_the_daemon_is_not_reached_none_passes(tmp_path: Path) -> None:
    with optional(tmp_path) as world:
        registered(world, "echo", tmp_path / "one.pem")
        file = machine(world, tmp_path / "one")
        with Running("proxied", str(file)):
            place = file.parent / "guard.sock"
            probe, late = world.permitted(), world.permitted()
            until(lambda: passed(ask(place, probe[1], body=probe[0])), "it is ready")
            world.one.process.process.send_signal(signal.SIGKILL)
            world.one.process.process.wait()
            told = ask(place, late[1], body=late[0])  # what was heard of ends is fresh still
    assert told.status == 503
    assert told.error in {"claims-unavailable", "status-unknown"}


def test_the_word_is_told_by_check_and_nothing_is_asked_for_it(world: World, tmp_path: Path) -> None:
    file = machine(world, tmp_path / "one")
    done = run(str(file), "--check", "--json")
    assert (done.returncode, json.loads(done.stdout)["claims"]) == (0, "shared")
    (tmp_path / "two").mkdir()
    own = guard_file(tmp_path / "two", world, "nginx")
    (tmp_path / "two" / "echo.pem").write_bytes((tmp_path / "one" / "echo.pem").read_bytes())
    kept = json.loads(run(str(own), "--check", "--json").stdout)["claims"]
    assert kept == str(tmp_path / "two" / "claims" / "claims.db")


def test_behind_nginx_and_envoy_of_one_service_a_request_passes_once(world: World, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        proxied(world, tmp_path / "one", "nginx", claims=SHARED) as first,
        proxied(world, tmp_path / "two", "envoy", claims=SHARED) as second,
    ):
        for fronts in ((first, second), (second, first)):
            line, body, token = first.permitted()
            told = [one.ask(line, body, token) for one in fronts]
            assert [one.status for one in told] == [201, 409]
            assert told[1].error == "outcome-not-known"
            assert [len(one.ran(token)) for one in fronts] == [1, 0]
            require_challenge(told[1])


def require_challenge(told: Told) -> None:
    (challenge,) = told.all("www-authenticate")
    assert challenge == (
        'Taskbound error="outcome-not-known", missing="known-outcome", domain="corp.example",'
        ' tool="echo__say"'
    )
