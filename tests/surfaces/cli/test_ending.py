"""`taskbound serve --end`, as a person types it."""

from __future__ import annotations

from tests.surfaces.cli.installation import Installation


def test_the_daemon_that_a_command_started_is_ended_and_the_next_one_starts_another(
    fresh: Installation,
) -> None:
    fresh.home.mkdir(mode=0o700)
    assert fresh("task", "list").status == 0
    first = fresh.status().pid
    ended = fresh("serve", "--end")
    assert (ended.status, ended.out, ended.err) == (0, f"ended: process {first} of {fresh.home}\n", "")
    assert fresh("task", "list").status == 0
    second = fresh.status().pid
    assert second != first
    assert fresh("serve", "--end", "--json").document == {"is": "ended", "process": second}


def test_where_none_runs_that_is_said_and_none_is_started(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o700)
    ended = fresh("serve", "--end")
    assert (ended.status, ended.out) == (0, f"no daemon runs for {fresh.home}\n")
    assert fresh("serve", "--end", "--json").document == {"is": "not-running", "process": 0}
    assert [one.name for one in fresh.home.iterdir()] == []


def test_a_directory_that_is_not_there_is_not_made(fresh: Installation) -> None:
    ended = fresh("serve", "--end")
    assert (ended.status, "no-data-directory" in ended.err) == (4, True)
    assert not fresh.home.exists()


def test_the_daemon_of_another_account_is_its_services(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o700)
    (fresh.home / "taskbound.toml").write_text('socket = "/run/taskbound/daemon.sock"\n', encoding="utf-8")
    ended = fresh("serve", "--end")
    assert ended.status == 2
    assert "the daemon at `/run/taskbound/daemon.sock` is another account's" in ended.err


def test_one_that_ends_listens_nowhere(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o700)
    ended = fresh("serve", "--end", "--port", "8710")
    assert ended.status == 2
    assert "a daemon that ends listens nowhere" in ended.err
