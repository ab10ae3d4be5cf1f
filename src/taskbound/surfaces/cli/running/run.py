"""`taskbound run`: runs a command under a task that starts and ends with it.

1. The task is started and this process registered before the command exists, so that no gateway beneath it
   starts without its task. The daemon finds the run among a gateway's ancestors by pid and start time.
2. Status 0 completes the task, a signal to this process cancels it, anything else fails it.
3. If this process is killed, the daemon sees the connection close.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.cli.clients.jsonc import masked_words
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.evidence import EvidenceOption, TokenOption
from taskbound.surfaces.cli.running.keeper import (
    Keeper,
    adopt_orphans,
    end_beneath,
    in_foreground,
    reap,
    woken,
)
from taskbound.surfaces.cli.screen import Words, ascii_json, shown
from taskbound.surfaces.cli.session import Session, argument, command
from taskbound.surfaces.cli.task import (
    AgentOption,
    GraceOption,
    HeartbeatOption,
    LengthOption,
    PurposeOption,
    ScopeOption,
    TemplateOption,
    make_start,
)
from taskbound.wire.connection import Done, TaskPush
from taskbound.wire.task import EndTask, RegisterRun, TaskDetail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.sdk.client import Client


_CANCELING: Final = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})


class CommandMissingError(MalformedError):
    """The command to run is no program."""

    code = "command-missing"
    remedy = "look at its name and at PATH"


class RunReport(msgspec.Struct, frozen=True, kw_only=True, tag="ran", tag_field="is"):
    """The command, and how it and its task ended."""

    task: str
    status: int
    how: str
    ended: bool
    """Whether the daemon has ended the task, as far as this process knows."""


def add_run(app: typer.Typer) -> None:
    command(
        app,
        "run",
        passes=True,
        examples="taskbound run -- claude\n"
        "taskbound run --agent helper --template reading --purpose 'find the bug' --for 30m -- claude",
    )(run)


def run(
    session: Session,
    words: Annotated[list[str], argument("COMMAND...", "What to run.")],
    *,
    agent: AgentOption = "",
    template: TemplateOption = "",
    scope: ScopeOption = "",
    purpose: PurposeOption = "",
    length: LengthOption = "",
    evidence: EvidenceOption = None,
    evidence_jws: TokenOption = None,
    heartbeat: HeartbeatOption = "",
    grace: GraceOption = "",
) -> None:
    """Start a task, run a command for it, and end the task when the command ends.

    The command gets the task's name in `TASKBOUND_TASK`. The status is the command's own. With `--json` a
    report goes to standard error, because standard output is the command's.
    """
    program = shutil.which(words[0])
    if program is None:
        raise CommandMissingError(f"there is no program `{shown(words[0])}`")
    if not purpose:
        purpose = f"run {' '.join(masked_words(words))}"[:500]  # it is stored, and shown to inspectors
    order = make_start(
        session,
        agent=agent,
        template=template,
        scope=scope,
        purpose=purpose,
        length=length,
        evidence=evidence,
        tokens=evidence_jws,
        heartbeat=heartbeat,
        grace=grace,
    )
    task = session.ask(order, TaskDetail).row.task
    running = _Run(session, task)
    try:
        running.hold()  # 1.
        status = running.command(program, words)
    except BaseException:
        running.sweep()
        running.end("cancelled", "the command could not be run")
        raise
    running.sweep()
    ended = running.end(running.how(status), f"`{shown(words[0])}` ended with status {status}"[:500])
    if session.screen.json:
        report = RunReport(task=task, status=status, how=running.how(status), ended=ended)
        session.screen.complaint(report)
    raise typer.Exit(status)


class _Run:
    def __init__(self, session: Session, task: str) -> None:
        adopt_orphans()
        self._session = session
        self._task = task
        self._client: Client | None = None
        self._keeper = Keeper(task)
        self._signals: list[int] = []

    def hold(self) -> None:
        self._connect().ask(RegisterRun(task=self._task), Done)

    def _connect(self) -> Client:
        """Connect; a daemon started for this is not a child of this process."""
        adopt_orphans(on=False)
        try:
            self._client = self._session.connect_anew("run")
        finally:
            adopt_orphans()
        return self._client

    def command(self, program: str, words: Sequence[str]) -> int:
        with woken(self._note) as reading:
            trouble = self._keeper.start(program, words)
            if trouble:
                raise CommandMissingError(f"`{shown(program)}` can't be run: {trouble}")
            return self._wait(reading)

    def sweep(self) -> None:
        """End remaining descendants: only needed if the keeper was killed or never ended."""
        left = end_beneath(gently=False)
        if left:
            self._session.screen.note(f"taskbound: these could not be ended: {', '.join(map(str, left))}")

    def how(self, status: int) -> str:
        if any(one in _CANCELING for one in self._signals):
            return "cancelled"
        return "completed" if status == 0 else "failed"

    def end(self, how: str, reason: str) -> bool:
        """End the task; returns whether it has ended, and reports on standard error if that is unknown."""
        for attempt in range(2):
            try:
                client = self._client if self._client is not None else self._connect()
                client.ask(EndTask(task=self._task, how=how, reason=reason), Done)
            except DaemonLostError as error:
                self._drop()
                if attempt:
                    self._complain(error)
            except TaskboundError as error:
                self._complain(error)
                break
            else:
                self._drop()
                return True
        self._drop()
        return False

    def _wait(self, reading: int) -> int:
        with selectors.DefaultSelector() as waiting:
            waiting.register(reading, selectors.EVENT_READ)
            if self._client is not None:
                waiting.register(self._client, selectors.EVENT_READ)
            while True:
                status = reap().get(self._keeper.pid)
                if status is not None:
                    return status
                for key, _ in waiting.select():
                    if key.fileobj == reading:
                        os.read(reading, 4096)
                    else:
                        waiting.unregister(key.fileobj)
                        self._listen()
                        if self._client is not None:
                            waiting.register(self._client, selectors.EVENT_READ)

    def _listen(self) -> None:
        if self._client is None:
            return
        try:
            for push in self._client.pushes():
                if isinstance(push, TaskPush) and push.task == self._task and push.state != "running":
                    why = f": {shown(Words(push.reason))}" if push.reason else ""
                    self._session.screen.note(f"taskbound: {shown(push.task)} is {shown(push.state)}{why}")
        except DaemonLostError:
            self._drop()
            try:
                self.hold()
            except RefusedByDaemonError:
                return  # the daemon still knows this process, or the task has ended meanwhile
            except TaskboundError as error:
                self._complain(error)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            return
        self._signals.append(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if number in _FROM_TERMINAL and in_foreground():
            return
        self._keeper.signal(number)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _complain(self, error: TaskboundError) -> None:
        fault = fault_of(error)
        if self._session.screen.json:
            self._session.screen.note(ascii_json(fault), "")
            return
        self._session.screen.note(f"taskbound: {shown(self._task)}: {shown(Words(fault.message))}")
