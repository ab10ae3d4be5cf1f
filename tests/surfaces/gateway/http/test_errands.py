"""Calls that clients of the HTTP front come back for: each token for its own, by exchanges of their own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.tool import QUESTION_NAMES
from taskbound.surfaces.gateway.errands import requests
from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Outcome
from taskbound.wire.connection import Bind, Done
from taskbound.wire.mcp.task import RELATED_KEY, TASKS_EXTENSION
from taskbound.wire.task import EndTask
from taskbound.wire.tool import CoverCalls
from tests.corpus.g9 import rows
from tests.peers.commands import asking, echo, faulty, slow
from tests.surfaces.gateway.asks import FORM, LEGACY, YES
from tests.surfaces.gateway.http.fronting import META, OTHER, TOKEN, Answer, Listening, front, near
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from taskbound.surfaces.gateway.http.seat import TaskSession

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
KNOWS: Json = META | {CAPABILITIES: {"extensions": {TASKS_EXTENSION: {}}}}
QUICK = Timings(grace=1.0, ping=0.2, cancel=0.15, hold=0.0, leave=5.0, question=20.0, patience=0.0)
DECLINED: Json = {"action": "decline"}


class Client:
    """One token, as a client of both revisions."""

    def __init__(self, there: Listening, token: str, session: str) -> None:
        self.there, self.token, self.session = there, token, session

    @classmethod
    async def begun(cls, there: Listening, token: str = TOKEN) -> Client:
        return cls(there, token, await there.initialize(token, elicitation={}))

    async def begin(self, arguments: Json, *, modern: bool, tool: str = "work") -> str:
        """The name of a call that was answered with one."""
        params: Json = {"name": f"echo__{tool}", "arguments": arguments}
        if modern:
            message: Json = {"method": "tools/call", "params": params | {"_meta": KNOWS}}
            found = await self.there.send(self.there.modern(self.token, message))
            return str(found.json["result"]["taskId"])
        message = {"id": 1, "method": "tools/call", "params": params | {"task": {}}}
        found = await self.there.send(self.there.legacy(self.token, message, self.session))
        return str(found.json["result"]["task"]["taskId"])

    def asking(
        self, method: str, name: str, *, modern: bool, header: str | None = None, meta: Json = KNOWS
    ) -> bytes:
        """The bytes of a request about a call."""
        params: Json = {"taskId": name}
        if not modern:
            return self.there.legacy(self.token, {"id": 2, "method": method, "params": params}, self.session)
        if method == "tasks/update":
            params["inputResponses"] = {}
        told: Json = {"Mcp_Name": name if header is None else header}
        if not told["Mcp_Name"]:
            told["without"] = ("Mcp-Name",)
        return self.there.modern(self.token, {"method": method, "params": params | {"_meta": meta}}, **told)

    async def ask(self, method: str, name: str, *, modern: bool, **more: Any) -> Answer:
        return await self.there.send(self.asking(method, name, modern=modern, **more))


def spelled(name: str, how: str) -> str:
    """A name that is none."""
    match how:
        case "made-up":
            return "A" * len(name)
        case "one-letter":
            return name[:-1] + ("A" if name[-1] != "A" else "B")
        case "other-case":
            return name.swapcase()
        case "shorter":
            return name[:20]
        case "spaced":
            return f"{name[:20]} {name[20:]}"
        case "long":
            return "a" * 201
        case _:
            raise KeyError(how)


async def test_g9_no_client_gets_at_what_another_one_has_a_name_for(tmp_path: Path) -> None:
    async def name_of(row: Mapping[str, Any], word: str, mine: Client, theirs: Client) -> str:
        modern = row["era"] == "modern"
        match word:
            case "own":
                return await mine.begin({"text": "mine"}, modern=modern)
            case "other-task":
                return await theirs.begin({"text": "theirs"}, modern=modern)
            case "other-era":
                return await mine.begin({"text": "mine"}, modern=not modern)
            case how:
                return spelled(await mine.begin({"text": "mine"}, modern=modern), how)

    async with near(tmp_path, faulty("hangs"), timings=QUICK) as there:
        mine, theirs = await Client.begun(there), await Client.begun(there, OTHER)
        for row in rows("g9-tasks"):
            if row["method"] == "tasks/result" and row["expect"] == "ok":
                continue  # that one waits, and is played below
            modern = row["era"] == "modern"
            name = await name_of(row, row["name"], mine, theirs)
            header = await name_of(row, row["header"], mine, theirs) if row.get("header") else None
            header = "" if row.get("header") == "" else header
            meta = KNOWS if row.get("declared", True) else META
            asked = there.daemon.count(CoverCalls)
            found = await mine.ask(row["method"], name, modern=modern, header=header, meta=meta)
            assert (found.status, found.code or "ok") == (row["status"], row["expect"]), row["id"]
            if row["expect"] != "ok":
                assert there.daemon.count(CoverCalls) == asked, "the daemon was not asked about it"
        statuses: list[str] = []
        for seat in there.front._seats.values():  # noqa: SLF001 -- what is still worked on
            kept = seat.gateway._calls.errands  # noqa: SLF001 -- the same
            statuses += [one.status.value for one in kept._all.values()]  # noqa: SLF001 -- the same
        cancels = [row for row in rows("g9-tasks") if row["method"] == "tasks/cancel"]
        allowed_cancels = [row for row in cancels if row["expect"] == "ok"]
        assert statuses.count("cancelled") == len(allowed_cancels), "nothing else was interrupted"


async def test_what_is_another_s_over_or_never_was_is_answered_with_the_same_bytes(tmp_path: Path) -> None:
    async with near(tmp_path, echo(), timings=QUICK) as there:
        mine, theirs = await Client.begun(there), await Client.begun(there, OTHER)
        for modern in (False, True):
            with there.daemon.holding(Outcome) as held:
                names = [await mine.begin({"text": "a"}, modern=modern, tool="echo")]
                names.append(await theirs.begin({"text": "b"}, modern=modern, tool="echo"))
                names.append(await mine.begin({"text": "c"}, modern=not modern, tool="echo"))
                names.append("A" * 43)
                for _ in range(3):
                    one = await held.next()
                    one.answer(there.daemon.answer(one.ask))
            seat = next(one for one in there.front._seats.values() if not _lacks(one, names[0]))  # noqa: SLF001 -- to have one's time end
            errands = seat.gateway._calls.errands  # noqa: SLF001 -- the same
            errands._expire(errands._all[names[0]])  # noqa: SLF001 -- the same
            for method in ("tasks/get", "tasks/cancel", "tasks/update" if modern else "tasks/result"):
                before = there.daemon.count(CoverCalls)
                answers = [await mine.ask(method, name, modern=modern) for name in names]
                assert len({(one.status, one.body, *sorted(one.headers)) for one in answers}) == 1
                assert answers[0].code == "unknown-mcp-task"
                assert there.daemon.count(CoverCalls) == before, "the daemon was not asked"


def _lacks(seat: TaskSession, name: str) -> bool:
    return name not in seat.gateway._calls.errands._all  # noqa: SLF001 -- whose it is


async def test_a_call_outlives_its_exchange_and_its_result_comes_on_another_one(tmp_path: Path) -> None:
    async with near(tmp_path, echo(), timings=QUICK) as there:
        mine = await Client.begun(there)
        for modern in (False, True):
            with there.daemon.holding(Outcome) as held:
                name = await mine.begin({"text": "a"}, modern=modern, tool="echo")
                one = await held.next()
                if modern:
                    working = await mine.ask("tasks/get", name, modern=True)
                    assert working.json["result"]["status"] == "working"
                    one.answer(there.daemon.answer(one.ask))
                else:
                    async with await there.wire() as wire:
                        wire.send(mine.asking("tasks/result", name, modern=False))
                        one.answer(there.daemon.answer(one.ask))
                        found = await wire.answer()
                    assert found.text == "a"
                    assert found.json["result"]["_meta"][RELATED_KEY] == {"taskId": name}
            if modern:
                while (told := (await mine.ask("tasks/get", name, modern=True)).json["result"])[
                    "status"
                ] != "completed":
                    pass
                assert told["result"]["content"][0]["text"] == "a"


async def test_who_waited_for_a_result_and_is_gone_takes_nobody_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_WAITING", 1)
    async with near(tmp_path, faulty("hangs"), timings=QUICK) as there:
        mine = await Client.begun(there)
        name = await mine.begin({"text": "a"}, modern=False)
        (seat,) = there.front._seats.values()  # noqa: SLF001 -- to see who waits
        waiting = seat.gateway._requests._errands._waiting  # noqa: SLF001 -- the same
        for _ in range(3):
            async with await there.wire() as wire:
                wire.send(mine.asking("tasks/result", name, modern=False))
                await there.until(lambda: bool(waiting))
            await there.until(lambda: not waiting)
            assert not seat._open, "and its id is free"  # noqa: SLF001 -- the same
        found = await mine.ask("tasks/get", name, modern=False)
        assert found.json["result"]["status"] == "working", "the call goes on"
        assert there.daemon.count(Outcome) == 0


async def test_another_session_of_the_token_may_come_back_and_a_session_s_end_ends_nothing(
    tmp_path: Path,
) -> None:
    async with near(tmp_path, faulty("hangs"), timings=QUICK) as there:
        first, second = await Client.begun(there), await Client.begun(there)
        name = await first.begin({"text": "a"}, modern=False)
        assert (await there.send(there.legacy(TOKEN, {}, first.session, verb="DELETE"))).status == 200
        found = await second.ask("tasks/get", name, modern=False)
        assert found.json["result"]["status"] == "working"


async def test_a_seat_stays_for_who_has_a_call_to_come_back_for(tmp_path: Path) -> None:
    async with near(tmp_path, faulty("hangs"), timings=QUICK, seat_idle=0.3, check=0.02) as there:
        mine = await Client.begun(there)
        name = await mine.begin({"text": "a"}, modern=True)
        (seat,) = there.front._seats.values()  # noqa: SLF001 -- to see it stay
        loop = asyncio.get_running_loop()
        idle = loop.time() + 0.3
        await there.until(lambda: loop.time() > idle)
        before = there.daemon.count(Bind)
        await there.until(lambda: there.daemon.count(Bind) > before + 1)  # looked at since
        assert seat.over is None
        assert (await mine.ask("tasks/get", name, modern=True)).json["result"]["status"] == "working"
        await mine.ask("tasks/cancel", name, modern=True)


async def test_a_question_goes_on_the_exchange_by_which_its_client_waits(tmp_path: Path) -> None:
    command = asking(log=tmp_path / "log")
    async with near(tmp_path, command, timings=QUICK, era=LEGACY, asks=QUESTION_NAMES) as there:
        mine = await Client.begun(there)
        name = await mine.begin({"rounds": [{"form": FORM}]}, modern=False)
        while (await mine.ask("tasks/get", name, modern=False)).json["result"]["status"] == "working":
            pass
        async with await there.wire() as first:
            first.send(mine.asking("tasks/result", name, modern=False))
            await first.head()
            asked = await first.event()
            assert asked is not None
            assert asked["params"]["_meta"][RELATED_KEY] == {"taskId": name}
        async with await there.wire() as wire:  # the stream is gone, and the question is not
            wire.send(mine.asking("tasks/result", name, modern=False).replace(b'"id": 2', b'"id": 3'))
            await wire.head()
            again = await wire.event()
            assert again is not None
            assert again["id"] == asked["id"]
            other = await Client.begun(there)
            line = {"id": asked["id"], "result": DECLINED}
            await there.send(there.legacy(TOKEN, line, other.session))
            line = {"id": asked["id"], "result": YES}
            assert (await there.send(there.legacy(TOKEN, line, mine.session))).status == 202
            found = await wire.event()
            assert found is not None
            assert json.loads(found["result"]["content"][0]["text"]) == {"form": YES}


async def test_of_two_tasks_of_one_agent_neither_gets_at_the_other_s_calls_and_each_ends_alone(
    tmp_path: Path,
) -> None:
    async with real(tmp_path, slow(longest=30.0), name="echo") as place:
        first = place.task
        second = place.start_task()
        async with front(place) as there:
            clients = [await Client.begun(there, there.token(task)) for task in (first, second)]
            texts: dict[str, tuple[Client, str, bool]] = {}

            async def one(client: Client, number: int, *, modern: bool) -> None:
                text = f"{clients.index(client)}-{number}-{modern}"
                name = await client.begin({"text": text}, modern=modern)
                texts[name] = client, text, modern

            await asyncio.gather(
                *(one(client, number, modern=False) for client in clients for number in range(12))
            )
            assert len(texts) == 24, "each has a name of its own, though their ids are equal"
            for name, (client, text, modern) in texts.items():
                other = clients[1 - clients.index(client)]
                found = await client.ask("tasks/result", name, modern=modern)
                assert found.text == text
                for method in ("tasks/get", "tasks/result", "tasks/cancel"):
                    assert (await other.ask(method, name, modern=modern)).code == "unknown-mcp-task"
            for client in clients:
                listed = await client.there.send(
                    client.there.legacy(client.token, {"id": 3, "method": "tasks/list"}, client.session)
                )
                names = {one["taskId"] for one in listed.json["result"]["tasks"]}
                assert names == {name for name, (whose, _, _) in texts.items() if whose is client}
            place.client.ask(EndTask(task=first, how="revoked", reason="enough"), Done)
            mine, hers = (
                next(name for name, (whose, _, _) in texts.items() if whose is client) for client in clients
            )
            gone = await clients[0].ask("tasks/result", mine, modern=False)
            assert gone.status == 401 or gone.code in {"task-ended", "unknown-mcp-task"}
            assert (await clients[1].ask("tasks/result", hers, modern=False)).text == texts[hers][1]
