"""`taskbound try`: shows what gating does to one server, in a temporary installation.

1. Keys, database, daemon and agent live in a new directory for as long as the command runs.
2. No tool of the server is called: the gateway refuses the one call that is made.
3. This command reads the monitor's code from the monitor's file; in a real installation a person does.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.errors import UnavailableError
from taskbound.core.scope import parse_scope
from taskbound.core.tool import Effect, ToolDefinition, parse_definitions
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.server.upstream import parse_variables, show_tools
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done, Status, StatusReport
from taskbound.wire.task import EndTask, StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.client import Client
    from taskbound.surfaces.cli.plugs import CommandPlace, ServerProbe


_SERVER: Final = "server"
_AGENT: Final = "guest"
_PATIENCE: Final = 20.0
_PERSON: Final = "me"


class GatewaySilentError(UnavailableError):
    """The trial's gateway exited, timed out, or gave an unexpected answer."""

    code = "gateway-silent"
    remedy = "start the server's command by itself, and look at what it says"


class TryReport(msgspec.Struct, frozen=True, kw_only=True, tag="tried", tag_field="is"):
    """The result of the trial."""

    tools: tuple[str, ...]
    """All that the server offers."""
    listed: tuple[str, ...]
    """What an agent sees whose task may only read."""
    refused: str
    """The tool whose call was refused."""
    answer: str
    """The refusal, as a model gets it."""


def add_try(app: typer.Typer) -> None:
    command(
        app,
        "try",
        passes=True,
        examples="taskbound try -- mcp-server-git\ntaskbound try --env KEY=value -- python server.py",
    )(try_server)


def try_server(
    session: Session,
    words: Annotated[list[str], argument("COMMAND...", "The server's command line.")],
    *,
    env: Annotated[list[str] | None, option("--env NAME=VALUE", "Give it this variable.")] = None,
    cwd: Annotated[str, option("--cwd DIR", "Run it there.")] = "",
) -> None:
    """Try a server: its tools, what a read-only agent sees of them, and how a refusal looks.

    No tool of the server is called, and nothing is left behind.
    """
    screen = session.screen
    probed = session.plugs.probe(
        name=_SERVER, command=words, environment=parse_variables(env or []), directory=cwd
    )
    tools = parse_definitions(probed.definitions, server=_SERVER)
    screen.heading("The server offers")
    show_tools(screen, _SERVER, tools)
    for note in probed.notes:
        screen.note(note)
    if not tools:
        raise GatewaySilentError("the server lists no tools, so there is nothing to see")
    home = Path(tempfile.mkdtemp(prefix="taskbound-try-"))
    try:
        report = _in_a_fresh_home(session, replace(session.place, home=home, autostart=True), probed, tools)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    screen.report(report)
    screen.line()
    screen.heading("An agent whose task may only read sees")
    for name in report.listed:
        screen.line(f"  {shown(name)}")
    screen.line()
    screen.heading(f"It calls {shown(report.refused)}, and gets")
    screen.fields([("refused", report.answer)])
    screen.line()
    screen.line("The server never saw that call. Gate your own clients with: taskbound init")


def _in_a_fresh_home(
    session: Session, place: CommandPlace, probed: ServerProbe, tools: Sequence[ToolDefinition]
) -> TryReport:
    client = session.plugs.connect(place, session.namespace, "cli")
    daemon = os.pidfd_open(client.ask(Status(), StatusReport).pid)
    try:
        task, refused, arguments = _prepare(client, place, probed, tools)
        talk = _Talk([*session.plugs.command(), "gateway", "--agent", _AGENT, "--home", str(place.home)])
        try:
            listed, answer = talk.look(refused, arguments)
        finally:
            talk.close()
        client.ask(EndTask(task=task), Done)
    finally:
        client.close()
        _end_daemon(daemon)
    return TryReport(
        tools=tuple(f"{_SERVER}__{one.name}" for one in tools), listed=listed, refused=refused, answer=answer
    )


def _prepare(
    client: Client, place: CommandPlace, probed: ServerProbe, tools: Sequence[ToolDefinition]
) -> tuple[str, str, dict[str, JsonValue]]:
    monitor = place.home / "monitor"
    names = [f"{_SERVER}__{one.name}" for one in tools]
    read = [name for name, one in zip(names, tools, strict=True) if one.effect is Effect.READ]
    allowed = read or names[:1]
    others = [name for name in names if name not in allowed]
    client.ask(wire.RegisterPerson(name=_PERSON, uid=os.getuid()), Done)
    raws = tuple(msgspec.Raw(one) for one in probed.definitions)
    client.ask(AddUpstream(spec=probed.spec, definitions=raws), Done)
    client.ask(
        wire.RegisterAgent(
            name=_AGENT,
            owner=_PERSON,
            approvers=(_PERSON,),
            monitor=f"file:{monitor}",
            ceiling=_scope([{"tool": name, "others": "any"} for name in names]),
        ),
        Done,
    )
    client.ask(wire.TestMonitor(name=_AGENT), Done, patience=15.0)
    client.ask(wire.AcknowledgeMonitor(name=_AGENT, code=_code_in(monitor)), Done)  # 3.
    client.ask(wire.ActivateAgent(name=_AGENT), Done)
    started = client.ask(
        StartTask(
            agent=_AGENT,
            purpose="look at what gating does",
            seconds=300,
            scope=_scope([{"tool": name} for name in allowed]),
        ),
        TaskDetail,
    )
    # When the task may call all there is, the call has an argument that no grant mentions.
    return started.row.task, (others or allowed)[0], {} if others else {"not-in-any-grant": True}


def _scope(grants: list[JsonValue]) -> msgspec.Raw:
    return msgspec.Raw(parse_scope({"grants": grants}).canonical)


def _code_in(monitor: Path) -> str:
    for line in reversed(monitor.read_text(encoding="utf-8").splitlines()):
        value = json.loads(line)
        if isinstance(value, dict) and isinstance(value.get("code"), str):
            return str(value["code"])
    raise GatewaySilentError("the monitor's file holds no code")


def _end_daemon(held: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(held, signal.SIGTERM)
        if not select.select([held], [], [], _PATIENCE)[0]:
            signal.pidfd_send_signal(held, signal.SIGKILL)
    os.close(held)


class _Talk:
    def __init__(self, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- our own program
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._last = 0
        self._rest = b""

    def look(self, tool: str, arguments: dict[str, JsonValue]) -> tuple[tuple[str, ...], str]:
        hello: dict[str, JsonValue] = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "try", "version": "1"},
        }
        self._ask("initialize", hello)
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        listed = self._ask("tools/list", {}).get("tools")
        names = (
            [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        )
        answer = self._ask("tools/call", {"name": tool, "arguments": arguments})
        content = answer.get("content")
        texts = (
            [one.get("text") for one in content if isinstance(one, dict)] if isinstance(content, list) else []
        )
        words = " ".join(one for one in texts if isinstance(one, str))
        if answer.get("isError") is not True:
            raise GatewaySilentError(f"the call of `{shown(tool)}` was not refused")
        return tuple(one for one in names if isinstance(one, str)), words

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ask(self, method: str, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        self._last += 1
        self._say({"jsonrpc": "2.0", "id": self._last, "method": method, "params": parameters})
        end = time.monotonic() + _PATIENCE
        while True:
            message = json.loads(self._line(end))
            if isinstance(message, dict) and message.get("id") == self._last:
                result = message.get("result")
                if not isinstance(result, dict):
                    raise GatewaySilentError(f"the gateway has no result: `{shown(json.dumps(message))}`")
                return result

    def _say(self, message: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _line(self, end: float) -> bytes:
        stream = self._process.stdout
        with selectors.DefaultSelector() as waiting:
            if stream is not None:
                waiting.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if stream is None or not waiting.select(max(end - time.monotonic(), 0.0)):
                    raise GatewaySilentError("the gateway does not answer")
                piece = os.read(stream.fileno(), 65536)
                if not piece:
                    raise GatewaySilentError("the gateway has ended")
                self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line
