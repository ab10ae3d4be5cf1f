"""Two daemons on one PostgreSQL database: one hangs with calls in flight, and goes on (I-55, F19).

1. It hangs with every thread (SIGSTOP), after it permitted a call whose outcome nobody has told yet, with
   another one on its way to it. It is the one that gives the log its places.
2. Meanwhile the other one is asked once a second, and its people end the task and stop everything.
3. Once it goes on, what was on its way is refused, and no result of the ended task is handed out. Both permit
   again within `_WITHIN` seconds after the stop is lifted, and the log is whole and signed.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dev.soaks.found import Found
from taskbound.wire.action import Decide, Outcome, Permitted, Released
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from taskbound.wire.token import Stop
from taskbound.wiring.home import find_socket, make_home
from tests.postgres import running
from tests.wiring.running import AGENT, client, covered, daemon, placed, settle_in, signer, start_task, until
from tests.wiring.test_hung import CALL, ORIGIN, InFlight, code_of, hung

if TYPE_CHECKING:
    from taskbound.sdk.client import Client


_WITHIN: Final = 5.0


def soak_hung(count: int, seed: int) -> Found:
    """Hang for so many seconds."""
    del seed
    with tempfile.TemporaryDirectory(prefix="taskbound-hung-") as folder, running() as server:
        base = Path(folder)
        homes = [base / "one", base / "two", base / "people"]
        for each in homes:
            make_home(each)
        keys, place = base / "signer" / "keys", base / "signer" / "signer.sock"
        place.parent.mkdir(mode=0o700)
        flags = ("--store", server.url(server.database()), "--signer", str(place), "--origin", ORIGIN)
        sockets = [find_socket(each) for each in homes]
        with (
            signer(keys, place, "--create", origin=ORIGIN),
            daemon(homes[0], *flags) as one,
            daemon(homes[1], *flags),
            daemon(homes[2], *flags),
        ):
            task = settle_in(sockets[2], base)
            until(lambda: covered(sockets[0]), "the log is signed, by the daemon that leads")
            with (
                client(sockets[0], "gateway", AGENT) as gateway,
                client(sockets[1], "gateway", AGENT) as beside,
                client(sockets[2]) as person,
            ):
                held = gateway.ask(_call("1"), Permitted)
                with hung(one):
                    gateway_waits = InFlight(gateway, "2", patience=count + 60.0)
                    permitted = _go_on(beside, count)
                    person.ask(EndTask(task=task, how="cancelled", reason="enough"), Done)
                    person.ask(Stop(stopped=True, reason="something is wrong"), Done)
                    began = time.perf_counter()
                refused = code_of(gateway_waits.answer())
                answered = time.perf_counter() - began
                told = gateway.ask_any(
                    Outcome(action=held.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
                )
                if refused not in {"task-ended", "stopped"} or isinstance(told, Released):
                    raise AssertionError(f"a wrong answer: {refused}, {told}")
                person.ask(Stop(stopped=False, reason=""), Done)
                start_task(person)
            began = time.perf_counter()
            for number in (0, 1):
                with client(sockets[number], "gateway", AGENT) as again:
                    again.ask(_call("3"), Permitted)
            resumed = time.perf_counter() - began
            until(lambda: placed(sockets[2]) and covered(sockets[2]), "one log, with all of it")
    said = (
        f"{count} s hung: {permitted} permits by the other daemon meanwhile; what was on its way was refused"
        f" (`{refused}`) {answered:.1f} s after it went on, and both permitted again within {resumed:.1f} s"
    )
    if resumed > _WITHIN:
        raise AssertionError(f"a gate was missed: {said}")
    return Found(counted=said)


def _call(request: str) -> Decide:
    return Decide(tool="echo__say", arguments=CALL, request=request)


def _go_on(beside: Client, count: int) -> int:
    """Ask the other daemon once a second; how often it permitted, which is each time."""
    pause, end, number = threading.Event(), time.monotonic() + count, 0
    while time.monotonic() < end:
        number += 1
        beside.ask(_call(f"m{number}"), Permitted)
        pause.wait(1.0)
    return number
