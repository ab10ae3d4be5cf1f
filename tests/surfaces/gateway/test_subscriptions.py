"""Who is told that a resource or a list changed, by servers that may say anything, and for how long."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import ResourceUpdatedNotification

from taskbound.surfaces.gateway import server as changes
from taskbound.surfaces.gateway import subscriptions
from taskbound.surfaces.gateway.link import Timings
from taskbound.surfaces.gateway.subscriptions import MAX_URIS
from taskbound.wire.action import Decide, Outcome, Refused
from taskbound.wire.connection import Fault, StopPush, TaskPush
from taskbound.wire.tool import CoverCalls, Coverings, ReachTools, SeeTools
from tests.peers.commands import speaking
from tests.peers.speaking import SUBSCRIPTION, logs, notice, updated
from tests.surfaces.gateway.bench import Bench, bench, code_of, silence, text_of
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.commands import Served

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
CLIENTS = pytest.mark.parametrize("modern", [False, True], ids=["old-client", "new-client"])
SERVERS = pytest.mark.parametrize("era", ["legacy", "modern"], ids=["old-server", "new-server"])
A, B = "test://a", "test://b"


class Watch:
    """A client that subscribes, in either era, to one server."""

    def __init__(self, b: Bench, log: Path, *, modern: bool, era: str) -> None:
        self.b, self.log, self.modern, self.era = b, log, modern, era
        self.stream = 0

    async def begin(self, *uris: str) -> list[str]:
        """Subscribe, and say to what."""
        if not self.modern:
            answers = [await self.b.request("resources/subscribe", {"uri": uri}) for uri in uris]
            return [uri for uri, one in zip(uris, answers, strict=True) if one.get("result") == {}]
        self.stream = await self.b.start(
            "subscriptions/listen", {"notifications": {"resourceSubscriptions": [*uris]}}, modern=True
        )
        said = (await self.b.notified("notifications/subscriptions/acknowledged"))["params"]
        assert said["_meta"] == {SUBSCRIPTION: self.stream}
        found: list[str] = said["notifications"].get("resourceSubscriptions", [])
        return found

    async def leave(self, uri: str) -> None:
        if self.modern:
            await self.b.cancel(self.stream)
        else:
            assert (await self.b.request("resources/unsubscribe", {"uri": uri}))["result"] == {}

    async def say(self, *messages: Json) -> None:
        """Have the server say this; it is over when the gateway has heard it."""
        params = {"name": "odd__work", "arguments": {"before": [*messages]}}
        assert text_of(await self.b.request("tools/call", params, modern=True)) == "done"

    def change(self, uri: str) -> Json:
        more = {"_meta": {SUBSCRIPTION: "$listen"}, "canary": 1} if self.era == "modern" else {"canary": 1}
        return updated(uri, **more)

    async def hears(self, uri: str) -> None:
        about: Json = {"_meta": {SUBSCRIPTION: self.stream}} if self.modern else {}
        assert (await self.b.notified("notifications/resources/updated"))["params"] == {"uri": uri, **about}

    @property
    def told(self) -> list[str]:
        return [json.loads(one)["params"]["uri"] for one in self.b.lines if b"resources/updated" in one]

    @property
    def wanted(self) -> list[str]:
        """What the server was asked to tell of, as it knows it now."""
        found: list[str] = []
        for one in map(json.loads, self.log.read_bytes().splitlines()):
            match one.get("method"):
                case "resources/subscribe":
                    found.append(one["params"]["uri"])
                case "resources/unsubscribe":
                    found.remove(one["params"]["uri"])
                case "subscriptions/listen":
                    found = one["params"]["notifications"].get("resourceSubscriptions", [])
        return found


def watching(tmp_path: Path, *, era: Served) -> Any:
    return bench(tmp_path, speaking(log=tmp_path / "log", era=era), name="odd")


@CLIENTS
@SERVERS
async def test_a_client_hears_of_what_it_subscribed_to_and_of_nothing_else(
    tmp_path: Path, *, modern: bool, era: Served
) -> None:
    async with watching(tmp_path, era=era) as b:
        w = Watch(b, tmp_path / "log", modern=modern, era=era)
        found = await b.request("server/discover", modern=True)
        assert found["result"]["capabilities"]["resources"] == {"listChanged": True, "subscribe": True}
        assert await w.begin(A) == [A]
        asked = [one for one in b.daemon.asks if isinstance(one, Decide)]
        assert [(one.tool, bytes(one.arguments)) for one in asked] == [
            ("odd__resources/subscribe", b'{"uri":"test://a"}')
        ]
        assert w.wanted == [A]
        await w.say(w.change(B), w.change(A))
        await w.hears(A)
        assert b.daemon.count(CoverCalls) == 1
        await w.leave(A)
        await b.until(lambda: w.wanted == [])
        await w.say(w.change(A))
        await silence(b)
    assert w.told == [A]
    assert b"canary" not in b"".join(line for line in b.lines if b"updated" in line)


@CLIENTS
async def test_what_the_daemon_refuses_is_not_subscribed_to(tmp_path: Path, *, modern: bool) -> None:
    def judge(ask: Decide) -> Refused | None:
        refused = bytes(ask.arguments) == b'{"uri":"test://b"}'
        return Refused(action="act_x", task="tsk_1", code="outside-scope", instead="ask") if refused else None

    async with watching(tmp_path, era="legacy") as b:
        b.daemon.on[Decide] = judge
        w = Watch(b, tmp_path / "log", modern=modern, era="legacy")
        assert await w.begin(A, B) == [A]
        assert w.wanted == [A]
        await w.say(w.change(B), w.change(A))
        await w.hears(A)
        if not modern:
            answer = await b.request("resources/subscribe", {"uri": B})
            assert (answer["error"]["code"], code_of(answer)) == (-32002, "not-there")
    assert w.told == [A]


@CLIENTS
@pytest.mark.parametrize("how", ["paused", "ended", "stopped", "narrowed", "refused", "lost", "server"])
async def test_law_10_a_subscription_ends_with_what_it_stands_on_and_nothing_is_told_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, modern: bool, how: str
) -> None:
    monkeypatch.setattr(subscriptions, "_CHECK", 0.05)
    async with watching(tmp_path, era="legacy") as b:
        w = Watch(b, tmp_path / "log", modern=modern, era="legacy")
        assert await w.begin(A) == [A]
        server = b.running("odd")
        match how:
            case "paused":
                b.daemon.push(TaskPush(task="tsk_1", state="paused"))
            case "ended":
                b.daemon.push(TaskPush(task="tsk_1", state="revoked"))
            case "stopped":
                b.daemon.push(StopPush(stopped=True))
            case "narrowed":
                b.daemon.on[CoverCalls] = lambda _: Coverings(covered=())
            case "refused":
                b.daemon.on[CoverCalls] = lambda _: Fault(code="token-revoked", message="it was revoked")
            case "lost":
                await b.daemon.stop()
            case _:
                server.upstream.kill("the test")
        if modern:
            end = await b.answer_to(w.stream)
            assert end["result"] == {"_meta": {SUBSCRIPTION: w.stream}, "resultType": "complete"}
        await b.until(lambda: not b.gateway._subscriptions._wishes)  # noqa: SLF001 -- a legacy client is told of no end
        server.updated(A)
        await silence(b)
        assert w.told == []
        if how in {"narrowed", "refused", "lost"}:
            await b.until(lambda: w.wanted == [])


async def test_a_change_is_told_only_while_the_daemon_says_that_it_is_covered(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        w = Watch(b, tmp_path / "log", modern=False, era="legacy")
        assert await w.begin(A) == [A]
        with b.daemon.holding(CoverCalls) as held:
            await w.say(w.change(A))
            one = await held.next()
            assert (one.ask.tool, [bytes(raw) for raw in one.ask.calls]) == (
                "odd__resources/subscribe",
                [b'{"uri":"test://a"}'],
            )
            await silence(b)
            one.answer(Coverings(covered=()))
        await silence(b)
        await b.until(lambda: w.wanted == [])
    assert w.told == []


async def test_a_server_is_left_when_the_last_who_wanted_a_uri_is_gone(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        old = Watch(b, tmp_path / "log", modern=False, era="legacy")
        new = Watch(b, tmp_path / "log", modern=True, era="legacy")
        assert await old.begin(A) == await new.begin(A) == [A]
        await old.say(old.change(A))
        told = [await b.notified("notifications/resources/updated") for _ in range(2)]
        assert sorted(len(one["params"]) for one in told) == [1, 2], "one by its stream and one without"
        await old.leave(A)
        assert old.wanted == [A, A], "the other one still wants it"
        await new.leave(A)
        await b.until(lambda: len(old.wanted) == 1)


async def test_a_flood_of_changes_is_told_ten_times_a_second_and_asked_about_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    rest = asyncio.Event()

    async def resting(seconds: float) -> None:
        rests.append(seconds)
        await rest.wait()

    async with watching(tmp_path, era="legacy") as b:
        w = Watch(b, tmp_path / "log", modern=False, era="legacy")
        assert await w.begin(A, B) == [A, B]
        monkeypatch.setattr(subscriptions, "sleep", resting)
        await w.say(w.change(A))
        await w.hears(A)
        await w.say(*[w.change(uri) for uri in (A, B) * 200])
        await silence(b)
        assert (w.told, b.daemon.count(CoverCalls)) == ([A], 1)
        rest.set()
        await w.hears(A)
        await w.hears(B)
        await silence(b)
        assert (w.told, b.daemon.count(CoverCalls), set(rests)) == ([A, A, B], 2, {0.1})


async def test_so_many_uris_are_subscribed_to_and_no_more(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        many = {"notifications": {"resourceSubscriptions": [f"test://{n}" for n in range(MAX_URIS + 1)]}}
        answer = await b.request("subscriptions/listen", many, modern=True)
        assert (answer["error"]["code"], code_of(answer)) == (-32602, "bad-params")
        w = Watch(b, tmp_path / "log", modern=True, era="legacy")
        uris = [f"test://{n:02}" for n in range(MAX_URIS)]
        assert await w.begin(*uris) == uris
        assert code_of(await b.request("resources/subscribe", {"uri": A})) == "busy"
        one = {"notifications": {"resourceSubscriptions": [A]}}
        assert code_of(await b.request("subscriptions/listen", one, modern=True)) == "busy"
        await w.leave("")
        assert (await b.request("resources/subscribe", {"uri": A}))["result"] == {}


@pytest.mark.parametrize("wrong", [3, {"a": 1}, [3], [""], ["x" * 9_000], [None]])
async def test_a_list_of_uris_that_is_none_opens_no_stream(tmp_path: Path, wrong: Any) -> None:
    async with bench(tmp_path, handshake=False) as b:
        asked = {"notifications": {"resourceSubscriptions": wrong}}
        assert code_of(await b.request("subscriptions/listen", asked, modern=True)) == "bad-params"


async def test_a_stream_that_is_cancelled_while_it_is_opened_leaves_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        with b.daemon.holding(Decide) as held:
            asked = {"notifications": {"resourceSubscriptions": [A]}}
            stream = await b.start("subscriptions/listen", asked, modern=True)
            one = await held.next()
            await b.cancel(stream)
            await silence(b)
            one.answer(b.daemon.permit(one.ask))
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        await b.until(lambda: not b.gateway._calls.open)  # noqa: SLF001 -- nobody is told of it
        assert not b.gateway._subscriptions._wishes  # noqa: SLF001 -- the same
        await b.request("server/discover", modern=True)  # takes as long as opening a stream
    assert not any(b"acknowledged" in line for line in b.lines)
    assert b"resources/subscribe" not in (tmp_path / "log").read_bytes()


async def test_a_subscription_that_is_asked_for_takes_no_call_out_of_reach(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        with b.daemon.holding(Decide) as held:
            call = {"name": "odd__work", "arguments": {}}
            named: Json = {"jsonrpc": "2.0", "id": "listen-1", "method": "tools/call", "params": call}
            await b.send(json.dumps(named).encode() + b"\n")
            first = await held.next()
            asked = {"notifications": {"resourceSubscriptions": [A]}}
            await b.start("subscriptions/listen", asked, modern=True)
            one = await held.next()
            one.answer(Fault(code="too-deep", message="not this one"))
            await b.notified("notifications/subscriptions/acknowledged")
            await b.notify("notifications/cancelled", {"requestId": "listen-1"})
            await silence(b)
            first.answer(b.daemon.permit(first.ask))
            assert (await b.daemon.asked(Outcome)).outcome == "not-sent"


async def test_a_stream_that_is_cancelled_in_its_last_step_leaves_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        with b.daemon.holding(ReachTools) as held:
            asked = {"notifications": {"toolsListChanged": True}}
            stream = await b.start("subscriptions/listen", asked, modern=True)
            one = await held.next()
            await b.cancel(stream)
            await silence(b)
            one.answer(b.daemon.answer(one.ask))
            await silence(b)
        await b.request("server/discover", modern=True)  # takes as long as opening a stream
        assert not b.gateway._listing.streams  # noqa: SLF001 -- nobody is told of it
    assert not any(b"acknowledged" in line for line in b.lines)


async def test_a_stream_that_is_opened_while_the_task_is_paused_is_ended(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        with b.daemon.holding(Decide) as held:
            asked = {"notifications": {"resourceSubscriptions": [A]}}
            stream = await b.start("subscriptions/listen", asked, modern=True)
            one = await held.next()
            b.daemon.push(TaskPush(task="tsk_1", state="paused"))
            end = await b.answer_to(stream)
            assert end["result"] == {"_meta": {SUBSCRIPTION: stream}, "resultType": "complete"}
            one.answer(b.daemon.permit(one.ask))
        await b.until(lambda: not b.gateway._calls.open)  # noqa: SLF001 -- nobody is told of it
        await silence(b)
    assert not any(b"acknowledged" in line for line in b.lines)


async def test_streams_are_bounded_also_while_they_are_opened_and_those_that_carry_nothing_are_none(
    tmp_path: Path,
) -> None:
    async with watching(tmp_path, era="legacy") as b:
        for _ in range(20):
            await b.start("subscriptions/listen", {"notifications": {"other": True}}, modern=True)
            said = await b.notified("notifications/subscriptions/acknowledged")
            assert said["params"]["notifications"] == {}
        half = {"notifications": {"resourceSubscriptions": [f"test://{n}" for n in range(40)]}}
        with b.daemon.holding(Decide) as held:
            first = await b.start("subscriptions/listen", half, modern=True)
            again = await b.start("subscriptions/listen", half, modern=True)
            assert code_of(await b.answer_to(again)) == "busy", "there is room for one of them"
            await held.next()
            await b.cancel(first)
        with b.daemon.holding(Decide) as held:
            one = {"notifications": {"resourceSubscriptions": [A]}}
            many = [await b.start("subscriptions/listen", one, modern=True) for _ in range(9)]
            assert code_of(await b.answer_to(many[8])) == "busy"
            for _ in range(8):
                waiting = await held.next()
                waiting.answer(b.daemon.permit(waiting.ask))


async def test_a_change_that_can_t_be_asked_about_just_then_is_told_once_it_can(tmp_path: Path) -> None:
    patient = Timings(grace=30.0, ping=0.2, cancel=0.15, hold=0.0, leave=5.0)
    log = tmp_path / "log"
    async with bench(tmp_path, speaking(log=log), name="odd", timings=patient) as b:
        w = Watch(b, log, modern=False, era="legacy")
        assert await w.begin(A) == [A]
        server = b.running("odd")
        await b.daemon.stop()
        link = b.gateway._link  # noqa: SLF001 -- to know that it was asked in vain
        await b.until(lambda: not link.connected)
        server.updated(A)
        tries = link._tries  # noqa: SLF001 -- the same
        await b.until(lambda: link._tries > tries + 2)  # noqa: SLF001 -- the same
        assert w.told == []
        await b.daemon.listen()
        await w.hears(A)
    assert w.told == [A]


async def test_the_methods_of_the_other_era_are_not_offered(tmp_path: Path) -> None:
    async with watching(tmp_path, era="legacy") as b:
        for method in ("resources/subscribe", "resources/unsubscribe"):
            assert code_of(await b.request(method, {"uri": A}, modern=True)) == "unknown-method"
            assert code_of(await b.request(method, {"uri": 3})) == "bad-params"
            assert code_of(await b.request(method, {"uri": A, "x": 1})) == "bad-params"
        assert b.daemon.count(Decide) == 0


# --- lists --------------------------------------------------------------------------------------------------


@CLIENTS
@SERVERS
async def test_lists_that_a_server_says_are_others_are_looked_at_and_told(
    tmp_path: Path, *, modern: bool, era: Served
) -> None:
    async with watching(tmp_path, era=era) as b:
        w = Watch(b, tmp_path / "log", modern=False, era=era)
        await w.say()
        looks = b.daemon.count(SeeTools)
        about: Json = {}
        kinds = ["tools", "prompts", "resources"]
        if modern:
            wanted = {"toolsListChanged": True, "promptsListChanged": True}
            stream = await b.start("subscriptions/listen", {"notifications": wanted}, modern=True)
            about = {"_meta": {SUBSCRIPTION: stream}}
            said = (await b.notified("notifications/subscriptions/acknowledged"))["params"]
            assert said == about | {"notifications": wanted}
        await w.say(*[notice(f"{kind}/list_changed") for kind in kinds])
        for kind in kinds[:2] if modern else kinds:
            told: Json = {"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"}
            told |= {"params": about} if modern else {}
            assert await b.wait_for(told.__eq__)
        assert b.daemon.count(SeeTools) == looks + 1


async def test_a_flood_of_changed_lists_is_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_REST", 3600.0)
    async with watching(tmp_path, era="legacy") as b:
        w = Watch(b, tmp_path / "log", modern=False, era="legacy")
        await w.say()
        looks = b.daemon.count(SeeTools)
        await w.say(*[notice("tools/list_changed"), notice("prompts/list_changed")] * 300)
        await b.notified("notifications/prompts/list_changed")
        await b.until(lambda: b.daemon.count(SeeTools) > looks)
        await silence(b)
        assert b.daemon.count(SeeTools) <= looks + 2, "once for what it says, and once before the next call"
        for _ in range(3):
            await w.say(notice("prompts/list_changed"))
        await silence(b)
        assert sum(b"prompts/list_changed" in line for line in b.lines) == 1


async def test_what_a_server_says_within_a_second_counts_once_more_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_REST", 0.05)
    async with watching(tmp_path, era="legacy") as b:
        w = Watch(b, tmp_path / "log", modern=False, era="legacy")
        await w.say(*[notice("prompts/list_changed")] * 9)
        for _ in range(2):
            await b.notified("notifications/prompts/list_changed")


# --- the official client ------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mode", "era"), [("legacy", "modern"), ("2026-07-28", "legacy")])
async def test_the_official_client_hears_logs_and_changes_of_a_server_of_the_other_era(
    tmp_path: Path, mode: str, era: Served
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def log(params: Any) -> None:
        await told.put((params.logger, params.data))

    async def other(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await seen.put(str(message.params.uri))

    change = {"_meta": {SUBSCRIPTION: "$listen"}} if era == "modern" else {}
    before = [logs("a", "debug"), logs("b", "error"), updated(B, **change), updated(A, **change)]
    async with real(tmp_path, speaking(era=era), name="odd") as place:
        command = ["-m", "taskbound.wiring.gateway", "--agent", "coder", "--home", str(place.home)]
        server = StdioServerParameters(command=sys.executable, args=command)
        given: Json = {"logging_callback": log, "message_handler": other, "log_level": "error"}
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(server, mode=mode, **given))
            stream = None
            if mode == "legacy":
                with pytest.warns(MCPDeprecationWarning):  # both are of the older revisions alone
                    await client.set_logging_level("error")
                with pytest.warns(MCPDeprecationWarning):
                    await client.subscribe_resource(A)
            else:
                stream = await stack.enter_async_context(client.listen(resource_subscriptions=[A]))
            await client.call_tool("odd__work", {"before": before})
            assert await asyncio.wait_for(told.get(), 20) == ("odd", "b")
            if stream is None:
                assert await asyncio.wait_for(seen.get(), 20) == A
            else:
                event = await asyncio.wait_for(anext(aiter(stream)), 20)
                assert event == ResourceUpdated(uri=A)
        names = sorted(row.tool for row in place.actions())
    assert names == ["odd__resources/subscribe", "odd__work"]
