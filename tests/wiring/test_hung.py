"""A daemon that hangs with calls in flight, and goes on (I-55, F19)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taskbound.wire.action import ActionDetail, Decide, Outcome, Permitted, Refused, Released, ShowAction
from taskbound.wire.connection import Done, Fault
from taskbound.wire.task import EndTask, ShowTask, StartTask, TaskDetail
from taskbound.wire.token import Stop
from taskbound.wiring.home import find_socket, make_home
from tests.wiring.running import (
    AGENT,
    SCOPE,
    Running,
    client,
    covered,
    daemon,
    placed,
    settle_in,
    signer,
    start_task,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.sdk.client import Client
    from taskbound.wire.envelope import Ask
    from tests.postgres import Server

CALL = msgspec.Raw(b'{"text":"a"}')
ORIGIN = "example.com/log"


@contextmanager
def hung(one: Running) -> Iterator[None]:
    """For so long the process hangs, with every thread."""
    one.process.send_signal(signal.SIGSTOP)
    _, ended = os.waitpid(one.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(ended)
    try:
        yield
        assert Path(f"/proc/{one.process.pid}/stat").read_text("ascii").split()[2] == "T", (
            "it hung all the time"
        )
    finally:
        one.process.send_signal(signal.SIGCONT)


class InFlight:
    """A call that is on its way while nobody reads it, and what is answered once somebody does."""

    def __init__(self, gateway: Client, request: str, *, patience: float = 45.0) -> None:
        self._gateway, self._patience = gateway, patience
        self._ask = Decide(tool="echo__say", arguments=CALL, request=request)
        self._answers: list[object] = []
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        self._answers.append(self._gateway.ask_any(self._ask, patience=self._patience))

    def answer(self) -> object:
        self._thread.join()
        (found,) = self._answers
        return found


def state_of(socket: Path, action: str) -> str:
    with client(socket) as one:
        return one.ask(ShowAction(action=action), ActionDetail).row.state


def code_of(answer: object) -> str:
    return answer.code if isinstance(answer, Refused) else type(answer).__name__


def now() -> int:
    """The instant."""
    return time.time_ns() // 1000


def shown(socket: Path, task: str) -> str:
    with client(socket) as one:
        return one.ask(ShowTask(task=task), TaskDetail).row.state


def permitted(socket: Path, request: str, task: str) -> bool:
    """Whether a call is permitted to this task now.

    A daemon that was stopped within a transaction holds its locks until the server breaks that off, 15 s
    later: meanwhile another one may refuse by name.
    """
    with client(socket, "gateway", AGENT) as gateway:
        answer = gateway.ask_any(Decide(tool="echo__say", arguments=CALL, request=request))
    assert isinstance(answer, Permitted | Refused), answer
    assert isinstance(answer, Permitted) or answer.code == "store-unavailable"
    return isinstance(answer, Permitted) and answer.task == task


def done(person: Client, ask: Ask) -> bool:
    """Whether a person's act took effect; as `permitted`."""
    answer = person.ask_any(ask)
    assert isinstance(answer, Done) or (isinstance(answer, Fault) and answer.code == "store-unavailable"), (
        answer
    )
    return isinstance(answer, Done)


def report(gateway: Client, action: str) -> object:
    """What comes of the outcome of a permitted call: its result, or that it is withheld."""
    answer = Outcome(action=action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
    return gateway.ask_any(answer)


def test_f19_i55_a_daemon_that_hung_past_a_task_s_deadline_permits_nothing_of_it_when_it_goes_on(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    make_home(home)
    socket = find_socket(home)
    with daemon(home) as one:
        task = settle_in(socket, home)
        with client(socket) as person:
            person.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)
            order = StartTask(
                agent=AGENT, purpose="soon over", seconds=6, scope=msgspec.Raw(json.dumps(SCOPE).encode())
            )
            begun = person.ask(order, TaskDetail).row
        with client(socket, "gateway", AGENT) as gateway:
            permit = gateway.ask(Decide(tool="echo__say", arguments=CALL, request="1"), Permitted)
            with hung(one):
                waiting = InFlight(gateway, "2")
                until(lambda: now() > begun.deadline, "its deadline has passed")
            assert code_of(waiting.answer()) in {"task-expired", "task-ended"}
            assert not isinstance(report(gateway, permit.action), Released)
        until(lambda: shown(socket, begun.task) == "expired", "its end is written down")
        until(lambda: covered(socket), "the log goes on")


def test_f19_i55_of_two_daemons_the_one_that_hung_acts_on_nothing_that_the_other_one_has_changed(
    server: Server, tmp_path: Path
) -> None:
    name = server.database()
    homes = [tmp_path / "one", tmp_path / "two", tmp_path / "people"]
    for each in homes:
        make_home(each)
    first, second, third = (find_socket(each) for each in homes)
    apart = tmp_path / "apart"
    apart.mkdir(mode=0o700)
    flags = ("--store", server.url(name), "--signer", str(apart / "signer.sock"), "--origin", ORIGIN)
    with (
        signer(apart / "keys", apart / "signer.sock", "--create", origin=ORIGIN),
        daemon(homes[0], *flags) as stopped,
        daemon(homes[1], *flags),
        daemon(homes[2], *flags),
        client(third) as person,
    ):
        task = settle_in(third, tmp_path)
        with client(first, "gateway", AGENT) as gateway:
            held = gateway.ask(Decide(tool="echo__say", arguments=CALL, request="1"), Permitted)
            with hung(stopped):
                waiting = InFlight(gateway, "2")
                until(lambda: permitted(second, "1", task), "the other one goes on")
                end = EndTask(task=task, how="cancelled", reason="enough")
                until(lambda: done(person, end), "the task is ended")
                other = start_task(person)
                until(lambda: permitted(second, "2", other), "the next task is begun")
            assert code_of(waiting.answer()) == "task-ended"
            assert not isinstance(report(gateway, held.action), Released)
        with client(first, "gateway", AGENT) as gateway:
            before = gateway.ask(Decide(tool="echo__say", arguments=CALL, request="3"), Permitted)
            assert before.task == other
            with hung(stopped):
                waiting = InFlight(gateway, "4")
                stop = Stop(stopped=True, reason="something is wrong")
                until(lambda: done(person, stop), "everything is stopped")
            assert code_of(waiting.answer()) == "stopped"
            person.ask(Stop(stopped=False, reason=""), Done)
            after = gateway.ask(Decide(tool="echo__say", arguments=CALL, request="5"), Permitted)
            assert after.task == other
        until(lambda: placed(third) and covered(third) and covered(first), "one log, with all of it")
        assert state_of(third, held.action) in {"unknown", "succeeded"}
    server.drop(name)
