"""The process that proxies ask (`wiring.proxied`), asked without a proxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.claims import SqliteClaims
from taskbound.core.clock import Instant
from taskbound.core.token.shared import ServedAnswer, ServedState, Serving
from taskbound.wiring.cli import own_command
from tests.wiring.guarding import World
from tests.wiring.proxying import Told, guard_file, optional, parsed, registered_once
from tests.wiring.running import DEADLINE, Running, until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with optional(tmp_path_factory.mktemp("proxied")) as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path, world: World) -> Path:
    """Where a guard has its key, its claims and its socket."""
    registered_once(world, tmp_path / "echo.pem")
    return tmp_path


def ask(place: Path, *tokens: str, body: bytes = b"", line: str = "POST /say") -> Told:
    """What a guard answers at its socket."""
    lines = [
        f"{line} HTTP/1.1",
        "Host: echo.example",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"Txn-Token: {one}" for one in tokens),
        "Connection: close",
    ]
    raw = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(DEADLINE)
        one.connect(str(place))
        one.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        while piece := one.recv(65536):
            raw += piece
    return parsed(raw)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*own_command(), "guard", *words], capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_its_socket_is_its_accounts_own_and_of_the_group_that_is_named(world: World, folder: Path) -> None:
    place = folder / "guard.sock"
    with Running("proxied", str(guard_file(folder, world, "nginx"))) as guard:
        seen = place.stat()
        assert (seen.st_mode & 0o777, seen.st_uid, seen.st_gid) == (0o660, os.geteuid(), os.getegid())
        assert guard.end() == 0
    assert not place.exists()
    file = guard_file(folder, world, "nginx")
    file.write_text("\n".join(one for one in file.read_text().splitlines() if not one.startswith("group")))
    with Running("proxied", str(file)) as guard:
        assert place.stat().st_mode & 0o777 == 0o600
        guard.end(signal.SIGKILL)
    assert place.is_socket()
    with Running("proxied", str(file)):  # what a dead one left is nobody's
        assert ask(place, line="GET /livez").status == 200


def test_a_second_guard_does_not_take_the_socket_of_one_that_is_asked(world: World, folder: Path) -> None:
    file = guard_file(folder, world, "nginx")
    with Running("proxied", str(file)):
        done = run(str(file), "--json")
        assert (done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]) == (4, "guard-in-use")
        assert ask(folder / "guard.sock", line="GET /livez").status == 200


def test_a_folder_that_others_can_write_holds_no_socket(world: World, folder: Path) -> None:
    file = guard_file(folder, world, "nginx")
    folder.chmod(0o777)
    try:
        done = run(str(file))
    finally:
        folder.chmod(0o700)
    assert (done.returncode, "others can write" in done.stderr, "what to do: " in done.stderr) == (
        4,
        True,
        True,
    )
    assert not (folder / "guard.sock").exists()


def test_a_file_is_looked_at_without_serving_and_said_in_words_or_in_one_document(
    world: World, folder: Path
) -> None:
    file = guard_file(folder, world, "envoy")
    done = run(str(file), "--check", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["proxy"], told["holding"]) == (0, "envoy", "whoever-has-the-token")
    assert told["endpoints"]["POST /say"] == "echo__say"
    assert "proxy envoy\n" in run(str(file), "--check").stdout
    assert not (folder / "claims").exists()
    wrong = run(str(guard_file(folder, world, "apache")), "--check", "--json")
    fault = json.loads(wrong.stderr)
    assert (wrong.returncode, fault["code"], fault["where"]) == (2, "bad-guard-file", "proxy")
    for key in ("key", "group", "authorities"):
        bad = guard_file(folder, world, "envoy", **{key: '"/nowhere"'})
        if key == "authorities":
            bad.write_text('authorities = "/nowhere"\n' + bad.read_text())
        assert run(str(bad), "--check").returncode == 2


def test_it_says_where_it_is_asked_and_ends_with_who_holds_its_lifeline(world: World, folder: Path) -> None:
    file = guard_file(folder, world, "nginx", listen='"127.0.0.1:0"')
    with subprocess.Popen(
        [*own_command(), "guard", str(file), "--json", "--lifeline"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = json.loads(process.stdout.readline())
        address, port = told["listening"].split(":")
        with socket.create_connection((address, int(port)), timeout=DEADLINE) as one:
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: echo.example\r\nConnection: close\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
        process.stdin.close()
        assert process.wait(DEADLINE) == 0


def test_a_proxy_that_asks_twice_is_told_yes_once(world: World, folder: Path) -> None:
    place = folder / "guard.sock"
    body, token = world.permitted()
    with Running("proxied", str(guard_file(folder, world, "nginx"))):
        assert ask(place, token, body=body).all("x-accel-redirect") == ["@permitted"]
        again = ask(place, token, body=body)
        assert (again.status, again.error, again.all("x-accel-redirect")) == (409, "outcome-not-known", [])
    with Running("proxied", str(guard_file(folder, world, "nginx"))):
        assert ask(place, token, body=body).error == "outcome-not-known"


def test_what_the_service_answered_elsewhere_under_its_name_passes_no_more(
    world: World, folder: Path
) -> None:
    place, claims = folder / "guard.sock", SqliteClaims(folder / "claims" / "claims.db")
    body, token = world.permitted()
    answer = ServedAnswer(status=201, headers=(), digest="0" * 64, length=2, body=b"ok")
    with Running("proxied", str(guard_file(folder, world, "nginx"))):
        assert ask(place, token, body=body).status == 200
        claims.answer(row_of(folder / "claims" / "claims.db"), answer)
        again = ask(place, token, body=body)
    claims.close()
    assert (again.status, again.error) == (409, "outcome-not-known")


def row_of(path: Path) -> Serving:
    """The one request that was begun in this file, begun anew as one that is answered can be."""
    with closing(sqlite3.connect(path)) as one, one:
        one.execute("UPDATE served SET state = ?", (ServedState.BEGUN.value,))
        verifier, txn, request, until_ = one.execute(
            "SELECT verifier, txn, request, until FROM served"
        ).fetchone()
    return Serving(verifier=verifier, txn=txn, request=request, until=Instant(until_))


def test_a_proxy_that_is_gone_before_its_answer_leaves_what_is_not_passed_later(
    world: World, folder: Path
) -> None:
    place = folder / "guard.sock"
    body, token = world.permitted()
    with Running("proxied", str(guard_file(folder, world, "nginx"))) as guard:
        guard.process.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.connect(str(place))
            head = f"POST /say HTTP/1.1\r\nHost: echo.example\r\nTxn-Token: {token}"
            one.sendall(
                f"{head}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        guard.process.send_signal(signal.SIGCONT)
        told = [ask(place, token, body=body) for _ in range(2)]
    yes = [one for one in told if one.status == 200]
    assert len(yes) <= 1  # where nothing was begun for nobody
    assert told[1].error == "outcome-not-known"


def test_so_many_that_come_at_once_are_all_answered_and_one_passes(world: World, folder: Path) -> None:
    place = folder / "guard.sock"
    body, token = world.permitted()
    found: list[Told] = []
    with Running("proxied", str(guard_file(folder, world, "nginx"))):
        threads = [
            threading.Thread(target=lambda: found.append(ask(place, token, body=body))) for _ in range(40)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert sorted(one.status for one in found) == [200, *([409] * 39)]


def test_no_line_of_its_log_has_a_token_or_what_a_client_chose(world: World, folder: Path) -> None:
    place = folder / "guard.sock"
    body, token = world.permitted()
    with Running("proxied", str(guard_file(folder, world, "nginx"))) as guard:
        assert ask(place, token, body=body + b"x").status == 403
        assert ask(place, token, body=body, line="POST /secret-path").status == 403
        until(lambda: guard.words.count("refused: ") == 2, "both are in the log")
        lines: list[Any] = [json.loads(one) for one in guard.words.splitlines()]
    refused = [one["event"] for one in lines if one["event"].startswith("refused")]
    assert refused == [
        "refused: other-content, at token-for-this-request, echo__say",
        "refused: endpoint-unknown, at declared-endpoint, no tool",
    ]
    assert token not in guard.words
    assert "secret-path" not in guard.words


def test_it_loads_nothing_of_a_server_that_decides() -> None:
    program = (
        "import sys, taskbound.wiring.proxied;"
        "print(*sorted({one.partition('.')[0] for one in sys.modules} - set(sys.stdlib_module_names)))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    third = {one for one in found.stdout.split() if not one.startswith("_")} - {"sitecustomize"}
    assert third <= {"taskbound", "cryptography", "joserfc", "msgspec", "cffi", "h11", "typing_extensions"}
