"""What `init` says is left to do, done as it says."""

from __future__ import annotations

import re
import signal
import subprocess

from tests.peers.ports import free_port
from tests.surfaces.cli.installation import Installation
from tests.surfaces.cli.test_init import entry, put


def last_lines(fresh: Installation) -> list[str]:
    """The last lines of `init` that has something to do."""
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    ended = fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}")
    assert ended.status == 0, ended
    return ended.out.splitlines()


def test_who_has_a_code_to_give_back_is_told_that_and_all_that_comes_after(fresh: Installation) -> None:
    said = last_lines(fresh)
    at = said.index(f"A code went to file:{fresh.monitor}. Nothing is permitted until you give it back:")
    api = said[at + 4]
    assert said[at + 1 :] == [
        "  taskbound agent activate assistant --code CODE",
        "Then restart the clients, and start work with:",
        "  taskbound run -- COMMAND",
        api,
        "  taskbound serve --end",
        "  taskbound serve",
    ]
    assert re.fullmatch(
        r"For agents over the network, end the daemon that runs now, and start it with its API"
        r" \(\S*docs/guides/network-api\.md\):",
        api,
    )


def test_the_daemon_is_ended_and_served_as_init_says(fresh: Installation) -> None:
    *_, end, serve = last_lines(fresh)
    port = str(free_port())
    assert (end, serve) == ("  taskbound serve --end", "  taskbound serve")
    assert fresh(*end.split()[1:]).status == 0
    with fresh.spawn("serve", "--port", port, stderr=subprocess.DEVNULL) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline() == f"serving {fresh.home}; end it with Ctrl-C\n"
            assert fresh.status().pid == serving.pid
        finally:
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(50) == 0


def test_a_daemon_that_has_an_api_already_is_not_to_be_started_anew(fresh: Installation) -> None:
    fresh.home.mkdir(mode=0o700)
    (fresh.home / "taskbound.toml").write_text(f'api_address = "127.0.0.1:{free_port()}"\n')
    assert last_lines(fresh)[-1] == "  taskbound run --agent assistant --template default -- COMMAND"


def test_where_no_client_is_to_be_gated_the_daemon_for_all_else_is_named(fresh: Installation) -> None:
    ended = fresh("init", "--yes")
    assert ended.status == 0
    assert ended.out.splitlines()[-1].endswith("need no client: start the daemon with `taskbound serve`.")
    assert not fresh.home.exists()
