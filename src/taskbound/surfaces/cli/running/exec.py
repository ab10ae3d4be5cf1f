"""`taskbound exec`: runs a command with credentials of a task, and ends them with the command.

1. All credentials are opened before the command starts; if one can't be had, the others are ended.
2. Secrets go into the command's environment only; variables that decide what runs or where programs connect
   are refused. For a host an agent in this process uses the key, and the command gets no secret.
3. The command runs under a keeper, so killing this process leaves no command with a credential (Linux).
4. The command ends if the task pauses or ends, everything is stopped, or no daemon answers for 5 seconds.
5. `--renew` renews credentials while the command runs; others end and the command goes on.
6. Targets have five seconds to confirm revocation; the daemon revokes the rest later in any case.
7. No tracer and no core dump of this account can read this process; the command has no such protection.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.sdk.ssh import HOST_VARIABLES, is_of_host, parse_hosts
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.running.keeper import (
    Keeper,
    adopt_orphans,
    end_beneath,
    hide,
    in_foreground,
    reap,
    woken,
)
from taskbound.surfaces.cli.running.renewal import Renewals
from taskbound.surfaces.cli.running.requests import (
    CommandTask,
    OfAgentOption,
    OfTaskOption,
    SecondsOption,
    interruptible,
    parse_asked,
    say_held,
    stand_in,
    wish_of,
)
from taskbound.surfaces.cli.running.run import CommandMissingError
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire.connection import Ping, StopPush, TaskPush
from taskbound.wire.target import CredentialRow, ShowCredential

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.sdk.credential import Task
    from taskbound.sdk.wish import CredentialWish, TaskCredential
    from taskbound.surfaces.cli.plugs import ServedHosts
    from taskbound.wire.envelope import Push


_PING: Final = 1.0
_LOST: Final = 5.0
_AGAIN: Final = 0.25
_KILL: Final = 2.0
_GONE: Final = 5.0
_LOOK: Final = 0.5
_DENIED: Final = 3
_UNAVAILABLE: Final = 4
_FROM_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
_OVER: Final = frozenset({"revoked", "unsupported"})
_OWN: Final = "TASKBOUND_"


class ClashingVariablesError(DeniedError):
    """Two credentials would set the same variable, or one would set a reserved variable."""

    code = "clashing-variables"
    remedy = "run a command for each credential"


class TaskOverError(DeniedError):
    """The task ended or paused before the command started."""

    code = "task-over"
    remedy = "ask the person who opened the task"


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A credential and its state at the end."""

    credential: str
    target: str
    kind: str
    state: str
    """Empty where the daemon did not say."""


class ExecReport(msgspec.Struct, frozen=True, kw_only=True, tag="executed", tag_field="is"):
    """The command and its credentials."""

    task: str
    status: int
    stopped: str
    """Why the command was ended from here; empty where it ended by itself."""
    credentials: tuple[Leftover, ...]


def add_exec(app: typer.Typer) -> None:
    command(
        app,
        "exec",
        passes=True,
        examples="taskbound exec --task tsk_… --credential orders-db -- psql -c 'select 1'\n"
        "taskbound exec --task tsk_… --credential orders-db/reader:tenant=red --seconds 300 -- ./report\n"
        "taskbound exec --task tsk_… --credential build-host -- "
        "sh -c 'ssh -F \"$SSH_CONFIG\" build-host uptime'",
    )(exec_)


def exec_(
    session: Session,
    words: Annotated[list[str], argument("COMMAND...", "What to run.")],
    *,
    credentials: Annotated[
        list[str],
        option(
            "--credential TARGET[/KIND][:NAME=VALUE,…]",
            "What it needs; the kind where the target has several. Repeatable.",
        ),
    ],
    task: OfTaskOption = "",
    agent: OfAgentOption = "",
    seconds: SecondsOption = 0,
    renew: Annotated[
        bool, option("--renew", "Ask again and again that they live longer while the command runs.")
    ] = False,
) -> None:
    """Request credentials of a task, run a command with them in its environment, and end them with it.

    For a host the command gets no key: `SSH_AUTH_SOCK` names an agent, instead of the caller's own, and
    `SSH_CONFIG` a configuration for `ssh -F` that knows the host by its target's name.

    Credentials of a `taskbound run` task can be requested only beneath that run; those of a task from
    `taskbound task start` only outside of any run.

    No secret is printed. If approvals are needed, the command waits. The status is the command's own; with
    `--json` a report goes to standard error, because standard output is the command's.
    """
    program = shutil.which(words[0])
    if program is None:
        raise CommandMissingError(f"there is no program `{shown(words[0])}`")
    hide()  # 7
    wishes = [wish_of(session, parse_asked(one), seconds) for one in credentials]
    running = _Exec(session, stand_in(session, task, agent), seconds if renew else None)
    session.close()  # what is asked from now on is asked in the task's name
    try:
        running.obtain(wishes)
        status = running.command(program, words)
    finally:
        running.end()
    if session.screen.json:
        session.screen.complaint(running.report(status))
    raise typer.Exit(status)


class _Exec:
    def __init__(self, session: Session, standing: CommandTask, renewed_for: int | None = None) -> None:
        self._renewed_for = renewed_for
        self._renewals = Renewals(self._say, lambda held: say_held(session, held))
        self._session = session
        self._standing = standing
        self._task: Task | None = None
        self._secret = ""
        self._have: list[TaskCredential] = []
        self._left: tuple[Leftover, ...] = ()
        self._keeper: Keeper | None = None
        self._served: ServedHosts | None = None
        self._heard = self._pinged = self._tried = 0.0
        self._why = ""
        self._status = _DENIED
        self._kill_at = 0.0
        self._warned: set[str] = set()

    # --- before the command ----------------------------------------------------------------------

    def obtain(self, wishes: Sequence[CredentialWish]) -> None:
        with interruptible():
            task = self._join(start=True)
            for wish in wishes:
                self._have.append(task.obtain(wish, lambda held: say_held(self._session, held)))
                self._require_apart()
                if self._renewed_for is not None:
                    self._renewals.keep(self._have[-1], self._renewed_for)
        if why := self._ending(task.heard):
            raise TaskOverError(f"nothing is run: {why}")

    def _require_apart(self) -> None:
        taken: set[str] = set(HOST_VARIABLES) if parse_hosts(self._have) else set()
        for one in self._have:
            for name in () if is_of_host(one) else one.environment():
                if name in taken or name.startswith(_OWN):
                    raise ClashingVariablesError(f"two things would go into the variable `{shown(name)}`")
                taken.add(name)

    def _join(self, *, start: bool) -> Task:
        adopt_orphans(on=False)
        session = self._session
        self._task = session.plugs.join(
            session.place,
            session.namespace,
            agent=self._standing.agent,
            task=self._standing.task,
            resume=self._secret,
            start=start,
        )
        self._secret = self._task.client.opened.connection
        self._heard = self._pinged = time.monotonic()
        return self._task

    # --- while it runs ---------------------------------------------------------------------------

    def command(self, program: str, words: Sequence[str]) -> int:
        adopt_orphans()
        task = self._task.id if self._task is not None else self._standing.task
        environment = {
            name: value
            for one in self._have
            if not is_of_host(one)
            for name, value in one.environment().items()
        }
        if hosts := [one for one in self._have if is_of_host(one)]:
            self._served = self._session.plugs.serve_hosts(hosts)
            environment |= self._served.variables
        folder = self._served.folder if self._served is not None else None
        self._keeper = Keeper(task, environment, leaves=folder)  # 2
        if self._served is not None:
            self._served.start()  # a thread: only now, as the keeper is a fork
        with woken(self._note) as reading:
            trouble = self._keeper.start(program, words)
            if trouble:
                raise CommandMissingError(f"`{shown(program)}` can't be run: {trouble}")
            status = self._wait(reading, self._keeper.pid)
            left = end_beneath(gently=False)
            if left:
                self._say(f"these could not be ended: {', '.join(map(str, left))}")
            self.end()  # a signal that comes now ends nothing
        return status or (self._status if self._why else 0)

    def _wait(self, reading: int, keeper: int) -> int:
        while True:
            status = reap().get(keeper)
            if status is not None:
                return status
            now = time.monotonic()
            self._tend(now)
            ready = [reading] if self._task is None else [reading, self._task.client.fileno()]
            found, _, _ = select.select(ready, [], [], _LOOK if self._task is not None else _AGAIN)
            if reading in found:
                os.read(reading, 4096)
            if self._task is not None and len(found) > (reading in found):
                self._listen(self._task)

    def _tend(self, now: float) -> None:
        for one in self._have:
            ends = self._renewals.ends_of(one)
            if ends <= time.time_ns() // 1_000 and one.id not in self._warned:
                self._warned.add(one.id)
                self._say(f"{shown(one.target)}/{shown(one.kind)} ended at {moment(ends)}: it opens nothing")
        if self._why:
            if now >= self._kill_at and self._keeper is not None:
                self._send(signal.SIGKILL)
            return
        if now - self._heard >= _LOST:
            self._stop("the daemon does not answer", unavailable=True)
        elif self._task is None:
            if now - self._tried >= _AGAIN:
                self._tried = now
                self._rejoin()
        else:
            try:
                if now - self._pinged >= _PING:
                    self._pinged = now
                    self._task.client.begin(Ping())
                self._renewals.tend(self._task)  # 5
            except DaemonLostError:
                self._drop()

    def _rejoin(self) -> None:
        heard = self._heard
        try:
            self._join(start=False)
        except RefusedByDaemonError as error:
            self._stop(fault_of(error).message)
        except TaskboundError:
            self._heard = heard  # it is tried again, until that was too long ago
        finally:
            adopt_orphans()

    def _listen(self, task: Task) -> None:
        try:
            replies = task.client.replies()
        except TaskboundError:
            self._drop()
            return
        self._heard = time.monotonic()
        self._renewals.hear(replies)
        if why := self._ending(one.push for one in replies if one.push is not None):
            self._stop(why)

    def _ending(self, pushes: Iterable[Push]) -> str:
        for one in pushes:
            if isinstance(one, StopPush) and one.stopped:
                return "everything is stopped"
            if isinstance(one, TaskPush) and one.task == self._standing.task and one.state != "running":
                return (
                    f"the task is {shown(one.state)}{f': {shown(Words(one.reason))}' if one.reason else ''}"
                )
        return ""

    def _stop(self, why: str, *, unavailable: bool = False) -> None:
        if self._why:
            return
        self._why = why
        self._status = _UNAVAILABLE if unavailable else _DENIED
        self._kill_at = time.monotonic() + _KILL
        self._say(f"the command is ended: {why}")
        if self._served is not None:
            self._served.stop()
        self._send(signal.SIGTERM)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD or (number in _FROM_TERMINAL and in_foreground()):
            return
        self._send(number)

    def _send(self, number: int) -> None:
        if self._keeper is not None:
            self._keeper.signal(number)

    def _drop(self) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None
            self._renewals.drop()

    # --- after it --------------------------------------------------------------------------------

    def end(self) -> None:
        have, self._have = self._have, []
        served, self._served = self._served, None
        if served is not None:
            try:
                served.close()
            except TaskboundError as error:
                self._say(shown(Words(error.message)))
        left = []
        until = time.monotonic() + _GONE
        now = time.time_ns() // 1_000
        for one in have:
            self._tell_ended(one, now)
        for one in have:
            state = self._state_of(one, until)
            left.append(Leftover(credential=one.id, target=one.target, kind=one.kind, state=state))
            if state not in _OVER:
                self._say(
                    f"{shown(one.id)} in {shown(one.target)} is not gone yet ({state or 'state unknown'})"
                )
        if have:
            self._left = tuple(left)
        self._drop()

    def _tell_ended(self, one: TaskCredential, now: int) -> None:
        """Report the credential's end; print why if it ended before `now`, while the command still ran."""
        for attempt in range(2):
            try:
                task = self._task if self._task is not None else self._join(start=False)
                row = task.end(one.id)
            except RefusedByDaemonError as error:
                if not self._why:  # the end of its task has ended it
                    self._say(f"{shown(one.id)} is not ended: {shown(Words(fault_of(error).message))}")
                return
            except TaskboundError as error:
                self._drop()
                if attempt:
                    self._say(f"{shown(one.id)} is not ended: {shown(Words(error.message))}")
            else:
                if row.ended and row.ended < now:
                    self._say(f"{shown(one.id)} had ended before the command did: {shown(Words(row.why))}")
                return

    def _state_of(self, one: TaskCredential, until: float) -> str:
        while True:
            state = self._look_at(one)
            if state in _OVER or not state or time.monotonic() >= until:
                return state
            time.sleep(_AGAIN)

    def _look_at(self, one: TaskCredential) -> str:
        if self._task is not None:
            with suppress(TaskboundError):
                return self._task.end(one.id).state
        try:
            return self._session.ask(ShowCredential(credential=one.id), CredentialRow).state
        except TaskboundError:
            return ""

    def report(self, status: int) -> ExecReport:
        return ExecReport(task=self._standing.task, status=status, stopped=self._why, credentials=self._left)

    def _say(self, words: str) -> None:
        self._session.screen.note(f"taskbound: {words}")
