from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskbound.wire.connection import Fault
from taskbound.wire.task import ListTasks, ShowTask, TaskRow, TaskRows
from tests.peers.daemon import ScriptedDaemon
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.serving import Api, api

SHOWN = {"Authorization": "DPoP nobody"}
Told = dict[type[Any], Callable[[Any], Any]]


def before(folder: Path, told: Told, work: Callable[[Api], None], *flags: str) -> ScriptedDaemon:
    """What a daemon was asked that says this, while an API before it is worked with."""

    async def story() -> ScriptedDaemon:
        async with ScriptedDaemon(folder / "d.sock") as daemon:
            daemon.on |= told

            def there() -> None:
                with api(daemon.path, *flags) as one:
                    work(one)

            await asyncio.to_thread(there)
            return daemon

    return asyncio.run(story())


def rows(*names: str, more: bool = False) -> TaskRows:
    made = [
        TaskRow(
            task=name,
            agent="a",
            requester="b",
            purpose="c",
            state="running",
            started=1,
            deadline=2,
            actions=0,
            learning=False,
        )
        for name in names
    ]
    return TaskRows(rows=tuple(made), more=more)


def test_what_a_request_shows_goes_to_the_daemon_as_it_is(tmp_path: Path) -> None:
    def work(there: Api) -> None:
        answer = there.ask(
            "GET", "/v1/tasks?agent=a%20b", Host="api.example.org", Authorization="DPoP abc", DPoP="def"
        )
        assert answer.status == 200
        assert there.ask("GET", "/readyz").status == 200

    daemon = before(
        tmp_path, {ListTasks: lambda _: rows("tsk_1")}, work, "--origin", "https://api.example.org"
    )
    asked = [one for one in daemon.asks if isinstance(one, ListTasks)]
    assert [one.agent for one in asked] == ["a b"]
    assert {one.role for one in daemon.opened} == {"api"}
    (shown,) = (one for one in daemon.shown if one is not None)
    assert (shown.method, shown.uri) == ("GET", "https://api.example.org/v1/tasks")
    assert (shown.authorization, shown.dpop, shown.chain) == ("DPoP abc", "def", ())
    assert shown.address == "127.0.0.1"
    assert "abc" not in repr(shown)
    assert "def" not in repr(shown)


def test_a_client_shows_its_certificate_within_tls(tmp_path: Path) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    own = servers.issue(tmp_path, "one", name="localhost")
    caller = clients.issue(tmp_path, "caller", name="caller")
    stranger = Authority("others").issue(tmp_path, "stranger", name="caller")
    roots = clients.write(tmp_path / "clients.pem")

    def work(there: Api) -> None:
        assert there.origin == f"https://127.0.0.1:{there.port}"
        there.tls = client_context(servers, caller)
        assert there.ask("GET", "/v1/tasks", **SHOWN).status == 200
        there.tls = client_context(servers)
        assert there.ask("GET", "/v1/tasks", **SHOWN).status == 200
        there.tls = client_context(servers, stranger)
        with pytest.raises(OSError, match=r"(?i)unknown|closed|reset|broken pipe"):
            there.ask("GET", "/v1/tasks", **SHOWN)

    flags = ("--certificate", str(own.chain), "--key", str(own.key), "--client-roots", str(roots))
    daemon = before(tmp_path, {ListTasks: lambda _: rows()}, work, *flags)
    chains = [one.chain for one in daemon.shown if one is not None]
    assert [len(one) for one in chains] == [1, 0]
    assert b64decode(chains[0][0]) == caller.der


def test_new_files_for_tls_are_taken_while_it_serves_and_bad_ones_are_not(tmp_path: Path) -> None:
    servers = Authority("servers")
    own = servers.issue(tmp_path, "one", name="localhost")

    def work(there: Api) -> None:
        there.tls = client_context(servers)
        with there.connected() as first:
            assert isinstance(first, ssl.SSLSocket)
            old = first.getpeercert(binary_form=True)
            fresh = servers.issue(tmp_path, "two", name="localhost")
            fresh.key.replace(own.key)
            fresh.chain.replace(own.chain)
            there.process.process.send_signal(1)
            there.await_words("were replaced, and are taken")
            first.sendall(there.head("GET", "/livez"))
            assert first.recv(4096).startswith(b"HTTP/1.1 200")
        with there.connected() as second:
            assert isinstance(second, ssl.SSLSocket)
            assert second.getpeercert(binary_form=True) == fresh.der != old
        own.key.write_text("no key at all")
        there.process.process.send_signal(1)
        there.await_words("are not taken")
        assert "no key at all" not in there.process.words
        assert there.ask("GET", "/livez").status == 200

    before(tmp_path, {}, work, "--certificate", str(own.chain), "--key", str(own.key))


def test_a_list_is_told_page_by_page_and_a_cursor_is_for_its_own_question(tmp_path: Path) -> None:
    def work(there: Api) -> None:
        cursor = there.ask("GET", "/v1/tasks?limit=1&agent=a", **SHOWN).json["next"]
        second = there.ask("GET", f"/v1/tasks?limit=1&agent=a&cursor={cursor}", **SHOWN).json
        assert second["rows"][0]["task"] == "tsk_2"
        assert "next" not in second
        changed = [
            f"{cursor[:at]}{'A' if cursor[at] != 'A' else 'B'}{cursor[at + 1 :]}" for at in range(len(cursor))
        ]
        for target in (
            f"/v1/tasks?limit=2&agent=a&cursor={cursor}",
            f"/v1/tasks?limit=1&agent=b&cursor={cursor}",
            f"/v1/actions?limit=1&cursor={cursor}",
            *(f"/v1/tasks?limit=1&agent=a&cursor={one}" for one in changed),
        ):
            refused = there.ask("GET", target, **SHOWN)
            assert (refused.status, refused.code) == (400, "bad-page-cursor"), target

    daemon = before(
        tmp_path,
        {ListTasks: lambda asked: rows("tsk_2") if asked.before else rows("tsk_1", more=True)},
        work,
    )
    assert [one.before for one in daemon.asks if isinstance(one, ListTasks)] == ["", "tsk_1"]


def test_a_fault_of_the_daemon_is_a_problem_with_the_status_of_its_family(tmp_path: Path) -> None:
    cases = {
        "too-long": ("malformed", 400),
        "not-owner": ("denied", 403),
        "unknown-task": ("denied", 404),
        "operation-forbidden": ("denied", 403),
        "overloaded": ("unavailable", 503),
        "token-expired": ("unproven", 401),
        "of-another-version": ("", 500),
    }

    def fault(asked: ShowTask) -> Fault:
        family = cases[asked.task][0]
        return Fault(code=asked.task, message="no", advice="do", where="there", family=family)

    def work(there: Api) -> None:
        for code, (_, status) in cases.items():
            answer = there.ask("GET", f"/v1/tasks/{code}", **SHOWN)
            assert (answer.status, answer.code) == (status, code)
            assert (answer.json["advice"], answer.json["where"]) == ("do", "there")
            challenged = answer.headers.get("www-authenticate", "")
            assert ('error="insufficient_scope"' in challenged) is (code == "operation-forbidden")
            assert ('error="invalid_token"' in challenged) is (status == 401)
            assert ("retry-after" in answer.headers) is (status == 503)

    before(tmp_path, {ShowTask: fault}, work)
