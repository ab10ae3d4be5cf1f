"""What a held call names is read by the gateway: with a scripted daemon, and before a real one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.wire.action import Decide, Outcome, ReadFirst, Reading, Refused, Withheld
from taskbound.wire.approval import LeaveHold
from taskbound.wire.connection import Done
from taskbound.wiring.home import find_socket
from tests.peers.commands import echo
from tests.peers.openssh import make_key
from tests.peers.rawclient import text_of as said
from tests.surfaces.cli.installation import Installation
from tests.surfaces.cli.test_operands import sheet_in
from tests.surfaces.gateway.bench import QUICK, bench, code_of, reached, silence, text_of
from tests.surfaces.gateway.test_outliving import LOSES, gateway, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.wire.envelope import Answer
    from tests.peers.daemon import ScriptedDaemon

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
TEXT = msgspec.Raw(b'{"text":"r"}')
ECHO = Reading(tool="echo__echo", arguments=TEXT)
HANGS = Reading(tool="echo__sleep_until_cancelled", arguments=msgspec.Raw(b"{}"))


def reads(daemon: ScriptedDaemon, *readings: Reading, then: Answer | None = None) -> None:
    """The daemon wants these read before it decides a call of `big`."""

    def decide(ask: Decide) -> Answer | None:
        if ask.tool == "echo__big":
            return ReadFirst(readings=readings) if ask.read is None else None
        return then

    daemon.on[Decide] = decide
    daemon.on[LeaveHold] = lambda _: Done()


async def asked(daemon: ScriptedDaemon, count: int) -> list[Decide]:
    return [await daemon.asked(Decide) for _ in range(count)]


async def test_what_the_daemon_wants_read_is_called_for_first_and_brought_by_its_actions(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log)) as b:
        reads(b.daemon, ECHO, ECHO)
        request = await b.start_call("echo__big", {"n": 2})
        assert text_of(await b.answer_to(request)) == "xx", "nothing of what was read is said to the client"
        first, one, two, again = await asked(b.daemon, 4)
        assert (first.read, first.request) == (None, f"{request}")
        assert [one.request, two.request] == [f'["read",{request},1]', f'["read",{request},2]']
        assert (one.tool, bytes(one.arguments), one.wait, one.read) == ("echo__echo", bytes(TEXT), 0, None)
        outcomes = [await b.daemon.asked(Outcome) for _ in range(3)]
        assert again.read == tuple(one.action for one in outcomes[:2])
        assert [one.outcome for one in outcomes] == ["succeeded"] * 3
        assert [one["params"]["name"] for one in reached(log)] == ["echo", "echo", "big"]


async def test_a_reading_that_is_refused_is_brought_too_and_one_that_is_held_is_taken_back(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log)) as b:
        for code in ("outside-scope", "held"):
            then = Refused(action=f"act_{code}", task="tsk_1", code=code, instead="")
            reads(b.daemon, ECHO, then=then)
            await b.call("echo__big", {"n": 1})
            assert (await asked(b.daemon, 3))[-1].read == (f"act_{code}",)
        reads(b.daemon, ECHO, then=ReadFirst(readings=(ECHO,)))
        await b.call("echo__big", {"n": 1})
        assert (await asked(b.daemon, 3))[-1].read == ("",), "nothing is read for a reading"
        assert (await b.daemon.asked(LeaveHold)).action == "act_held"
        assert b.daemon.count(LeaveHold) == 1
        assert [one["params"]["name"] for one in reached(log)] == ["big"] * 3


async def test_a_reading_that_takes_too_long_is_cancelled_and_what_came_of_it_is_unknown(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log), timings=replace(QUICK, read=0.2)) as b:
        reads(b.daemon, HANGS, ECHO)
        assert text_of(await b.call("echo__big", {"n": 1})) == "x"
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "unknown"
        assert "read for too long" in outcome.note
        assert b'"notifications/cancelled"' in log.read_bytes()
        *_, again = await asked(b.daemon, 4)
        assert again.read is not None
        assert (again.read[0], len(again.read)) == (outcome.action, 2)
        late = await b.daemon.asked(Outcome)
        assert (late.action, late.outcome) == (again.read[1], "not-sent"), (
            "there was no time for the next one"
        )


async def test_whatever_interrupts_the_call_interrupts_what_is_read_for_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log), timings=replace(QUICK, read=600.0)) as b:
        reads(b.daemon, HANGS, ECHO)
        with b.daemon.holding(Outcome) as outcomes:
            request = await b.start_call("echo__big", {"n": 1})
            await b.until(lambda: bool(reached(log)))
            await b.cancel(request)
            one = await outcomes.next()
            assert one.ask.outcome == "unknown"
            one.answer(Withheld(action=one.ask.action, code="unknown", reason="x"))
            last = await outcomes.next()
            assert last.ask.outcome == "not-sent", "the call itself was never sent"
            last.answer(Withheld(action=last.ask.action, code="not-sent", reason="x"))
        await silence(b)
        assert [one.tool for one in await asked(b.daemon, 3)] == ["echo__big", HANGS.tool, "echo__big"]
        assert [one["params"]["name"] for one in reached(log)] == ["sleep_until_cancelled"]


async def test_a_daemon_that_wants_more_read_and_more_is_not_followed(tmp_path: Path) -> None:
    async with bench(tmp_path, echo()) as b:
        b.daemon.on[Decide] = lambda ask: ReadFirst(readings=(ECHO,)) if ask.tool == "echo__big" else None
        assert code_of(await b.call("echo__big", {"n": 1})) == "daemon-lost"
        assert b.daemon.count(Decide) == 3


# --- before a real daemon, and a real server whose state changes ----------------------------------

WRITE = b'{"path":"/a","text":"b"}'
# A gateway that says what it likes after it was told to read: each word is one presentation.
BRINGS = """
import sys, json
from pathlib import Path
import msgspec
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, ReadFirst, Refused
from taskbound.wire.connection import Open
client = Client(Path(sys.argv[1]), Open(role="gateway", version=__version__, agent="helper"))
for number, word in enumerate(sys.argv[3:], 10):
    read = json.loads(word)
    arguments = msgspec.Raw(sys.argv[2].encode())
    ask = Decide(tool="fs__write", arguments=arguments, request=str(number), read=read)
    print(msgspec.json.encode(client.ask(ask, ReadFirst if read is None else Refused)).decode())
"""


class Ledger(Installation):
    """Its server's tool `read` says what a file holds, and its log holds what was called."""

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def server(self) -> tuple[str, ...]:
        return (*super().server, "--says", str(self.state), "--log", str(self.log))

    def called(self, tool: str) -> int:
        return sum(one["params"]["name"] == tool for one in reached(self.log))

    def begin(self, *grants: dict[str, Any]) -> None:
        """A declared probe, and a task whose next call to write is held."""
        write = {"tool": "fs__write", "others": "any", "uses": 9}
        self.start_task(scope=self.scope(write, *grants))
        declared = self("tool", "declare", "fs__write", "--probe", "path=answer:fs__read#path", "--yes")
        assert declared.status == 0, declared
        lost = [sys.executable, "-c", LOSES, str(find_socket(self.home)), WRITE.decode()]
        subprocess.run(lost, check=True)


READ = {"tool": "fs__read", "others": "any", "uses": 50}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Ledger]:
    one = Ledger()
    try:
        one.state.write_text("due: 10", encoding="utf-8")
        one.prepare()
        assert one("person", "demo", "begin").status == 0
        assert one("person", "key", "add", str(make_key(tmp_path, name="alice"))).status == 0
        yield one
    finally:
        one.end()


async def test_what_a_server_answers_is_shown_signed_and_used_once_while_it_is_the_same(
    place: Ledger, tmp_path: Path
) -> None:
    place.begin(READ)
    async with gateway(place) as client:
        await client.handshake()
        request = await client.start_call("fs__write", WRITE)
        row = await questions(place, "pending")
        shown = place("approval", "show", row["action"]).out
        (operand,) = sheet_in(shown).operands
        found = dict(operand.found)
        assert (operand.kind, found["tool"], found["arguments"]) == ("answer", "fs__read", '{"path":"/a"}')
        assert "proves nothing" in found["by"]
        signed = await asyncio.to_thread(
            place, "approval", "sign", row["action"], "--key", str(tmp_path / "alice")
        )
        assert signed.status == 0, signed
        assert said(await client.answer_to(request)) == "b"
    assert (place.called("write"), place.called("read") >= 2) == (1, True)
    actions = place("action", "list", "--json").document["rows"]
    assert {one["state"] for one in actions if one["tool"] == "fs__read"} == {"succeeded"}
    newest = next(one["action"] for one in actions if one["tool"] == "fs__read")
    assert "made to read what the call" in place("action", "show", newest).out


async def test_what_a_server_answers_otherwise_is_asked_about_anew_and_nothing_ran_before(
    place: Ledger, tmp_path: Path
) -> None:
    place.begin(READ)
    key = ("--key", str(tmp_path / "alice"))
    async with gateway(place) as client:
        await client.handshake()
        request = await client.start_call("fs__write", WRITE)
        first = await questions(place, "pending")
        place.state.write_text("due: 99", encoding="utf-8")
        signed = await asyncio.to_thread(place, "approval", "sign", first["action"], *key)
        assert signed.status == 0 or "approval-over" in signed.err, "the gateway may have looked before"
        other = await questions(place, "pending", but=first["action"])
        assert place.called("write") == 0
        over = await questions(place, "superseded")
        assert over["action"] == first["action"]
        assert "sha256 behind `/path`" in place("approval", "show", first["action"]).out
        signed = await asyncio.to_thread(place, "approval", "sign", other["action"], *key)
        assert signed.status == 0, signed
        assert said(await client.answer_to(request)) == "b"
    assert place.called("write") == 1


async def test_a_reading_that_scope_refuses_refuses_the_call_and_says_so(place: Ledger) -> None:
    place.begin()
    async with gateway(place) as client:
        await client.handshake()
        answer = await client.call("fs__write", WRITE)
    assert "`fs__read` may not be called for it (outside-scope)" in said(answer)
    assert (place.called("write"), place.called("read")) == (0, 0)
    assert place("approval", "list", "--json").document["rows"] == []


async def test_a_gateway_that_brings_nothing_or_makes_something_up_gets_no_permit_and_asks_nobody(
    place: Ledger,
) -> None:
    place.begin(READ)
    words = ["null", "null", "[]", '[""]', '["act_x"]', '["act_x","act_y"]']
    command = [sys.executable, "-c", BRINGS, str(find_socket(place.home)), WRITE.decode(), *words]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["is"] for one in answers] == ["read-first", "read-first", *["refused"] * 4]
    assert answers[0]["readings"] == [{"tool": "fs__read", "arguments": {"path": "/a"}}]
    assert {one["code"] for one in answers[2:]} == {"operand-unreadable"}
    assert place("approval", "list", "--json").document["rows"] == []
    assert place.called("write") == 0
