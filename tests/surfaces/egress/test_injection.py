"""A server that logs into a real database with what is minted for its task: every process is the real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import msgspec
import psycopg
import pytest
from msgspec import structs
from psycopg.conninfo import make_conninfo

from taskbound.adapters.upstream.mcp.http.probe import probe_url
from taskbound.adapters.upstream.mcp.probe import probe_command
from taskbound.adapters.upstream.mcp.process import children
from taskbound.core.clock import Instant
from taskbound.core.target import OauthAccess, OauthKind, OauthPlace
from taskbound.core.tool import parse_slot
from taskbound.ports.target import MintOrder
from taskbound.wire.action import ActionRow, ActionRows, ListActions
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.target import CredentialRow, CredentialRows, ListCredentials, RevokeCredentials
from taskbound.wire.task import EndTask, PauseTask, ResumeTask
from taskbound.wire.tool import AddUpstream, ListUpstreams, UpstreamRows
from tests.peers.authorizing import SECRET as OUR
from tests.peers.authorizing import client_of, speaking, where_at
from tests.peers.minter import Orders, minting
from tests.peers.rawclient import RawClient, text_of
from tests.peers.rawhttp import RawHttp, result_of
from tests.peers.targeting import ALICE
from tests.surfaces.egress.authorizing import issued
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import MODULE, gone
from tests.wiring.broking import TOOL, Declared, House, declare, house, key_of, roles
from tests.wiring.running import AGENT, client, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping

    from taskbound.wire.tool import UpstreamRow
    from tests.peers.rawhttp import Asked, Does, Say

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

CLERK, TURNCOAT = (Path(__file__).parents[2] / "peers" / one for one in ("clerk.py", "turncoat.py"))
POSER = Path(__file__).parents[1] / "api" / "poser.py"
SOURCE = "credential:orders-db/reader?seconds=600"
TOOLS = ("clerk__count", "clerk__tell", "clerk__who")
SCOPE: dict[str, Any] = {"grants": [{"tool": one, "others": "any"} for one in (*TOOLS, TOOL)]}
SOON = SOURCE.replace("600", "9")
LOOKS = (f"header:authorization={SOON}#PGPASSWORD", f"header:x-login={SOON}#PGUSER")
"""What a server behind a URL is filled with, for as few seconds as a renewal takes."""
REACHED: dict[str, Any] = {
    "grants": [
        {"tool": one, "others": "any"}
        for one in ("desk__work", "guarded__work", "guarded__tell", TOOL, "crm__credential/work")
    ]
}
TAKEN: dict[str, Any] = {
    "grants": [
        {"tool": one, "others": "any"}
        for one in (TOOL, *(f"turncoat__{each}" for each in ("die", "hide", "pose", "spell")))
    ]
}
POOR: dict[str, Any] = {"grants": [{"tool": one, "others": "any"} for one in TOOLS]}
CEILING: dict[str, Any] = {
    "grants": list(
        {one["tool"]: one for one in (*SCOPE["grants"], *REACHED["grants"], *TAKEN["grants"])}.values()
    )
}


@pytest.fixture(scope="module")
def database() -> Iterator[Orders]:
    with minting() as found:
        yield found


@pytest.fixture(scope="module")
def there(database: Orders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    base = tmp_path_factory.mktemp("house")
    with house(base, database.server.folder) as found:
        pin(found, "clerk", [sys.executable, str(CLERK)], PGHOST=str(database.server.folder))
        with client(found.socket) as one:
            one.ask(SetCeiling(name=AGENT, ceiling=msgspec.Raw(json.dumps(CEILING).encode())), Done)
        yield found


def pin(there: House, name: str, command: list[str], **environment: str) -> None:
    """Pin a server that is started with a login of the database."""
    slots = [parse_slot(f"environment:{one}={SOURCE}#{one}") for one in ("PGPASSWORD", "PGUSER")]
    spec, seen = probe_command(
        name=name,
        command=command,
        environment={"PGDATABASE": "orders", **environment},
        directory=str(there.home.parent),
        secrets=dict.fromkeys(slots),
    )
    raws = tuple(map(msgspec.Raw, seen.definitions))
    with client(there.socket) as one:
        one.ask(AddUpstream(spec=spec, definitions=raws, methods=seen.methods), Done)


@contextlib.asynccontextmanager
async def agent(there: House) -> AsyncIterator[RawClient]:
    command = [sys.executable, *MODULE, "--agent", AGENT, "--home", str(there.home)]
    async with RawClient(command, era="legacy", deadline=60.0) as found:
        await found.handshake()
        yield found


@contextlib.contextmanager
def task(there: House, scope: dict[str, Any] = SCOPE) -> Iterator[str]:
    """A task; it is ended with the context, where it was not before."""
    name = there.start_task(scope=scope)
    try:
        yield name
    finally:
        with contextlib.suppress(Exception):
            end(there, name)


def end(there: House, name: str) -> None:
    with client(there.socket) as one:
        one.ask(EndTask(task=name, how="completed", reason="done"), Done)


def had(there: House, name: str) -> list[CredentialRow]:
    """What the task has had, oldest first."""
    with client(there.socket) as one:
        return list(reversed(one.ask(ListCredentials(task=name), CredentialRows).rows))


def actions(there: House, name: str) -> list[ActionRow]:
    with client(there.socket) as one:
        return list(reversed(one.ask(ListActions(task=name), ActionRows).rows))


def processes(word: str, home: Path | None = None) -> list[int]:
    """Processes whose command says this, and this installation where it is given: other tests have theirs."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (one / "cmdline").read_bytes()
            if word.encode() in words and str(home or "").encode() in words:
                found.append(int(one.name))
    return found


def environ(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return dict(one.split("=", 1) for one in pairs if one)


def servers(there: House) -> list[int]:
    """The processes that are this installation's server: it is started in a folder of its own."""
    return [one for one in processes(str(CLERK)) if not gone(one) and _folder(one) == there.home.parent]


def egress(there: House) -> int:
    """The process that is the egress: another one is called so until it is the server that it starts."""
    found: list[int] = []

    def alone() -> bool:
        found[:] = processes("taskbound.wiring.egress", there.home)
        return len(found) == 1

    until(alone, "the egress is starting no server")
    return found[0]


def _folder(pid: int) -> Path | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink()
    return None


def places(there: House, secret: str) -> list[str]:
    """Files of the installation, and processes by their arguments, that have this."""
    running = (*children(os.getpid()), *processes("taskbound.wiring", there.home))
    words = (Path(f"/proc/{pid}/cmdline") for pid in running)
    files = (one for one in (*there.home.rglob("*"), *words) if one.is_file())
    return [str(one) for one in files if secret.encode() in one.read_bytes()]


def require_gone(there: House, database: Orders, row: CredentialRow) -> None:
    """The database has neither the login nor a session of it, and the server that had it is over."""
    there.gone(row.id)
    assert row.name not in roles(database)
    assert database.sessions(row.name) == 0
    until(lambda: not servers(there), "the server is over")


def looking(database: Orders) -> Does:
    """A server behind a URL that logs into the database with what each call has in its headers."""

    def login(asked: Asked) -> str:
        user, password = asked.header("x-login"), asked.header("authorization")
        place = {"host": str(database.server.folder), "dbname": "orders"}
        with psycopg.connect(make_conninfo("", **place, user=user, password=password)) as session:
            (found,) = session.execute("SELECT session_user::text").fetchone() or ("",)
        return str(found)

    async def does(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        text = await asyncio.to_thread(login, asked)
        await say.answer(body=result_of(asked.message, text))
        return True

    return does


def pin_url(
    there: House,
    name: str,
    url: str,
    slots: Collection[str],
    looks: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Pin a server that is reached with these slots, looked at with what goes into others."""
    secrets = {parse_slot(text): value for text, value in looks.items()}
    spec, seen = probe_url(name=name, url=url, headers={}, secrets=secrets)
    spec = structs.replace(spec, slots=tuple(sorted(slots)))
    raws = tuple(map(msgspec.Raw, seen.definitions))
    with client(there.socket) as one:
        one.ask(AddUpstream(spec=spec, definitions=raws, methods=seen.methods), Done)


def crm(there: House, issuer: str, resource: str) -> None:
    """An authorization server as a target, and a server that takes its tokens and no others."""
    kind = {"for": "works", "resource": resource, "scopes": ["read"], "seconds": 600, "effect": "read"}
    file = {
        "target": "crm",
        "kind": "oauth",
        "where": where_at(issuer),
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {"work": kind},
    }
    with client(there.socket) as one:
        declare(one, Declared(file, OauthAccess(secret=OUR)), key_of(there.broker))
    until(lambda: there.target("crm").state == "ready", "the target is ready")
    order = MintOrder(name="tb_look", ends=Instant(2**62), context={})
    grants = OauthKind(resource=resource, scopes=("read",))
    looks = speaking(OauthPlace(**where_at(issuer))).mint(order, grants, patience=20.0)
    token = looks.secret["OAUTH_ACCESS_TOKEN"]
    slot = "header:authorization=Bearer credential:crm/work#OAUTH_ACCESS_TOKEN"
    pin_url(there, "guarded", resource, [slot], {"header:authorization": f"Bearer {token}"})


async def who(agent: RawClient) -> str:
    return text_of(await agent.call("clerk__who", b"{}"))


def clerk(there: House) -> UpstreamRow:
    """How the server is pinned."""
    with client(there.socket) as person:
        return next(one for one in person.ask(ListUpstreams(), UpstreamRows).rows if one.spec.name == "clerk")


class Hostile:
    """Such a gateway (`hostile.py`)."""

    def __init__(self, there: House) -> None:
        words = (str(there.socket), str(there.socket.with_name("egress.sock")), AGENT)
        program = Path(__file__).with_name("hostile.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._opened = 0

    def step(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def started(self, start: dict[str, Any]) -> str:
        """With what the egress refuses to start this."""
        self._opened += 1
        name = str(self._opened)
        self.step("open", name)
        self.step("say", name, start)
        return str(self.step("hear", name)["fault"]["code"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)


async def test_i11_a_server_logs_in_with_what_was_minted_for_its_task_and_nothing_else_has_the_secret(
    there: House, database: Orders
) -> None:
    with task(there) as name:
        async with agent(there) as one:
            login = await who(one)
            (row,) = had(there, name)
            assert (row.name, row.state, row.acknowledged) == (login, "active", True)
            assert login in roles(database)
            assert text_of(await one.call("clerk__count", b"{}")) == "2"
            secret = environ(servers(there)[0])["PGPASSWORD"]
            assert secret.startswith("tbs_")
            assert code_of(await one.call("clerk__tell", b"{}")) == "secret-in-answer"
            assert await who(one) == login
            decided = [(each.tool, each.decision) for each in actions(there, name)]
            assert decided[0] == (TOOL, "permit")
            assert [each for each, _ in decided[1:]] == [
                "clerk__who",
                "clerk__count",
                "clerk__tell",
                "clerk__who",
            ]
            assert await asyncio.to_thread(places, there, secret) == []
            end(there, name)
            await asyncio.to_thread(require_gone, there, database, row)


async def test_a_server_that_is_reached_has_in_its_headers_what_was_minted_for_the_task_until_that_ends(
    there: House, database: Orders
) -> None:
    with issued(client=client_of()) as (issuer, guarded):
        async with RawHttp(does=looking(database)) as desk:
            await asyncio.to_thread(pin_url, there, "desk", desk.url, LOOKS)
            await asyncio.to_thread(crm, there, issuer.issuer, guarded.url)
            with task(there, REACHED) as name:
                async with agent(there) as one:
                    await reached(there, database, one, name)
                    (row, other) = had(there, name)
                    token = guarded.tokens[-1]
                    assert code_of(await one.call("guarded__tell", b"{}")) == "secret-in-answer"
                    assert await asyncio.to_thread(places, there, token) == []
                    # What is renewable lives longer, and the server goes on with it.
                    await asyncio.to_thread(until, lambda: there.row(row.id).ends > row.ends, "it is renewed")
                    assert text_of(await one.call("desk__work", b"{}")) == row.name
                    before = issuer.count("/token/revocation")
                    with client(there.socket) as person:
                        person.ask(PauseTask(task=name), Done)
                    await asyncio.to_thread(require_gone, there, database, row)
                    await asyncio.to_thread(there.gone, other.id)
                    assert issuer.count("/token/revocation") > before
                    with client(there.socket) as person:
                        person.ask(ResumeTask(task=name), Done)
                    await reached(there, database, one, name)
                    assert guarded.tokens[-1] != token
                    end(there, name)
                    for each in had(there, name):
                        await asyncio.to_thread(there.gone, each.id)
    assert roles(database) == set()


async def reached(there: House, database: Orders, one: RawClient, name: str) -> None:
    """Both servers are called, with what is alive now."""
    login = text_of(await one.call("desk__work", b"{}"))
    assert login in roles(database)
    assert text_of(await one.call("guarded__work", b"{}")) == "done"
    live = [each for each in had(there, name) if each.state == "active"]
    assert [each.name for each in live if each.target == "orders-db"] == [login]
    assert [each.target for each in live] == ["orders-db", "crm"]


async def test_k10_what_ends_the_server_ends_its_credential_and_a_resume_has_another(
    there: House, database: Orders
) -> None:
    with task(there) as name:
        async with agent(there) as one:
            first = await who(one)
            with client(there.socket) as person:
                person.ask(PauseTask(task=name), Done)
            await asyncio.to_thread(require_gone, there, database, had(there, name)[0])
            with client(there.socket) as person:
                person.ask(ResumeTask(task=name), Done)
            second = await who(one)
            assert second != first
            with client(there.socket) as person:
                person.ask(RevokeCredentials(credential=had(there, name)[1].id), object)
            await asyncio.to_thread(require_gone, there, database, had(there, name)[1])
            third = await who(one)
            assert len({first, second, third}) == len(had(there, name)) == 3
            os.kill(servers(there)[0], signal.SIGKILL)
            await asyncio.to_thread(require_gone, there, database, had(there, name)[2])
            assert await who(one) not in {first, second, third}
        # The gateway has ended, and its task goes on.
        await asyncio.to_thread(require_gone, there, database, had(there, name)[3])


async def test_k11_a_killed_gateway_and_a_killed_egress_leave_nothing_that_nobody_holds(
    there: House, database: Orders
) -> None:
    with task(there) as name:
        async with agent(there) as one:
            await who(one)
            killed = egress(there)
            os.kill(killed, signal.SIGKILL)
            await asyncio.to_thread(require_gone, there, database, had(there, name)[0])
            until(
                lambda: processes("taskbound.wiring.egress", there.home) not in ([], [killed]),
                "another egress is there",
            )
            await who(one)
            os.kill(one.process.pid, signal.SIGKILL)
            await asyncio.to_thread(require_gone, there, database, had(there, name)[1])


async def test_what_the_scope_does_not_grant_starts_no_server_and_the_agent_is_told_which_grant_is_missing(
    there: House,
) -> None:
    with task(there, POOR) as name:
        async with agent(there) as one:
            said = text_of(await one.call("clerk__who", b"{}"))
            assert "orders-db__credential/reader" in said
            assert "[credential-refused]" in said
            assert had(there, name) == []
            assert servers(there) == []


async def test_a_server_that_was_taken_over_is_nobody_to_the_daemon_and_what_it_hides_ends_with_it(
    there: House, database: Orders
) -> None:
    command = [sys.executable, str(TURNCOAT), str(POSER), str(there.socket)]
    await asyncio.to_thread(pin, there, "turncoat", command)
    with task(there, TAKEN) as name:
        async with agent(there) as one:
            posed = json.loads(text_of(await one.call("turncoat__pose", b"{}")))
            assert posed == dict.fromkeys(("broker", "cli", "egress"), "not-outside")
            hidden = int(text_of(await one.call("turncoat__hide", b"{}")))
            (row,) = had(there, name)
            secret = environ(hidden)["PGPASSWORD"]
            assert secret.startswith("tbs_")
            assert code_of(await one.call("turncoat__spell", b"{}")) == "secret-in-answer"
            last = json.dumps(await one.call("turncoat__die", b"{}"))
            assert secret not in last
            await asyncio.to_thread(require_gone, there, database, row)
            assert await asyncio.to_thread(places, there, secret) == []
        # No server runs in the egress any more: what they have left behind is ended.
        await asyncio.to_thread(until, lambda: gone(hidden), "what it has hidden is over")


def test_two_servers_of_one_task_that_start_at_once_have_a_credential_each(
    there: House, database: Orders
) -> None:
    pinned = clerk(there)
    start = {"op": "egress:start", "namespace": "default", "server": "clerk", "era": pinned.spec.era}
    with task(there) as own, Hostile(there) as one:
        assert one.step("daemon", {"op": "connection:bind"})["task"] == own
        for name in "ab":
            one.step("open", name)
        for name in "ab":
            one.step("say", name, start | {"identity": pinned.identity})
        assert [one.step("hear", name)["is"] for name in "ab"] == ["started", "started"]
        first, second = had(there, own)
        running = {environ(pid)["PGUSER"]: pid for pid in servers(there)}
        assert running.keys() == {first.name, second.name} == roles(database)
        os.kill(running[first.name], signal.SIGKILL)
        there.gone(first.id)
        assert there.row(second.id).state == "active"
        assert [environ(pid)["PGUSER"] for pid in servers(there)] == [second.name]
        end(there, own)
        require_gone(there, database, second)


def test_a_gateway_that_says_what_it_likes_has_nothing_put_in_that_is_not_its_tasks(there: House) -> None:
    pinned = clerk(there)
    until(lambda: there.socket.with_name("egress.sock").exists(), "the egress listens")
    until(lambda: servers(there) == [], "what tests before this one started is over")
    start = {"op": "egress:start", "namespace": "default", "server": "clerk", "era": pinned.spec.era}
    inject = {
        "op": "credential:inject",
        "server": "clerk",
        "identity": pinned.identity,
        "source": SOURCE,
        "holder": {"uid": os.geteuid(), "pid": os.getpid(), "started": 1},
        "request": "1",
        "recipient": ALICE,
    }
    with task(there) as own, Hostile(there) as one:
        assert one.step("daemon", {"op": "connection:bind"})["task"] == own
        with task(there) as other:
            for asked in ({"task": own}, {"task": other}):
                assert one.step("daemon", inject | asked)["code"] == "unproven"
            told = [
                one.started(start | {"identity": pinned.identity, "task": other}),
                one.started(start | {"identity": pinned.identity, "task": "tsk_none"}),
                one.started(start | {"identity": "0" * 64, "task": own}),
            ]
            assert told == ["no-single-task", "no-single-task", "other-pin"]
            assert (had(there, own), had(there, other), servers(there)) == ([], [], [])
