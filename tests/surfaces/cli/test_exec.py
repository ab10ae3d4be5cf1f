from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.running.requests import AskedFor, parse_asked
from taskbound.wire.action import Decide, Reason, Refused
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import Done, Fault, Ping, StopPush, TaskPush
from taskbound.wire.target import (
    AcknowledgeCredential,
    AwaitRenewal,
    EndCredential,
    Handed,
    Renewed,
    TakeCredential,
)
from tests.peers.daemon import FAR
from tests.peers.handing import CANARY, HandingDaemon, target_row
from tests.surfaces.cli.installation import PROGRAM

if TYPE_CHECKING:
    from asyncio.subprocess import Process

pytestmark = pytest.mark.anyio
SAY = "import os; print(os.environ['PGPASSWORD'], os.environ['PGUSER'], os.environ['TASKBOUND_TASK'])"
STAY = "import signal, sys; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAY}"
WAITS = "waiting for approval by ann: apr_9, until 14:32 UTC"
HELD = Refused(action="act_9", task="tsk_1", code="held", instead="call again", waits=WAITS)


async def begun(tmp_path: Path, *words: str, more: tuple[str, ...] = ()) -> Process:
    """The command, started with these words; its standard output and error are piped."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "taskbound.toml").write_text(f'socket = "{tmp_path / "d.sock"}"\n', encoding="utf-8")
    named = () if "--credential" in more else ("--credential", "orders-db/reader")
    told = ("--home", str(home), "--task", "tsk_1", "--agent", "helper", *named, *more)
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        "exec",
        *told,
        "--",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )


async def ended(process: Process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def up(process: Process) -> None:
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 40) == b"up\n"


async def test_the_command_has_what_was_minted_and_it_is_ended_with_it(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", SAY, more=("--seconds", "60"))
        assert await ended(process) == (0, f"{CANARY} tb_x tsk_1\n", "")
        assert daemon.states == {"crd_1": "revoked"}
        assert bytes(daemon.made["crd_1"].decided.arguments) == b'{"seconds":60}'
        asked = [type(one) for one in daemon.asks]
        assert asked.index(AcknowledgeCredential) < asked.index(EndCredential)
        assert (daemon.opened[-1].role, daemon.opened[-1].agent, daemon.opened[-1].task) == (
            "gateway",
            "helper",
            "tsk_1",
        )


async def test_i11_the_status_is_the_commands_and_json_says_what_ran_without_a_secret(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        values = "orders-db:tenant=red,shop=7"
        more = ("--json", "--credential", values)
        process = await begun(tmp_path, "/bin/sh", "-c", "exit 7", more=more)
        status, out, err = await ended(process)
        assert (status, out) == (7, "")
        left = {"credential": "crd_1", "target": "orders-db", "kind": "reader", "state": "revoked"}
        assert json.loads(err) == {
            "is": "executed",
            "task": "tsk_1",
            "status": 7,
            "stopped": "",
            "credentials": [left],
        }
        assert bytes(daemon.made["crd_1"].decided.arguments) == b'{"shop":"7","tenant":"red"}'


async def test_i11_a_secret_stands_in_no_argument_of_any_process_in_no_file_and_in_nothing_that_is_printed(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", STAY, more=("--json",))
        await up(process)
        assert CANARY.encode() not in arguments()
        process.send_signal(signal.SIGTERM)
        status, out, err = await ended(process)
        assert (status, CANARY in out + err, daemon.states) == (143, False, {"crd_1": "revoked"})
        assert CANARY.encode() not in files(tmp_path)


def arguments() -> bytes:
    """The arguments of every process."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(one.read_bytes())
    assert len(found) > 2
    return b"\n".join(found)


def files(folder: Path) -> bytes:
    """Every file of a folder."""
    return b"\n".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


def owner(path: str) -> int:
    return Path(path).stat().st_uid


async def test_the_command_stands_in_no_way_of_being_started_before_all_of_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.targets = [target_row(), target_row("cache")]
        daemon.variables = [({}, {"PGPASSWORD": CANARY}), ({}, {"CACHE_PASSWORD": CANARY})]
        mark = tmp_path / "ran"
        more = ("--credential", "orders-db", "--credential", "cache")
        with daemon.holding(AcknowledgeCredential) as held:
            process = await begun(tmp_path, "/usr/bin/touch", str(mark), more=more)
            (await held.next()).answer(Done())
            second = await held.next()
            assert not mark.exists()
            second.answer(Fault(code="hand-out-over", message="too late"))
            status, _, err = await ended(process)
        assert (status, "too late [hand-out-over]" in err, mark.exists()) == (3, True, False)
        assert daemon.states["crd_1"] == "revoked"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PGPASSWORD": CANARY}, "two things would go into the variable `PGPASSWORD`"),
        ({"TASKBOUND_HOME": CANARY}, "two things would go into the variable `TASKBOUND_HOME`"),
    ],
)
async def test_nothing_runs_with_variables_that_clash(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.targets = [target_row(), target_row("other")]
        daemon.variables = [({}, {"PGPASSWORD": CANARY}), ({}, variables)]
        mark = tmp_path / "ran"
        more = ("--credential", "orders-db", "--credential", "other")
        process = await begun(tmp_path, "/usr/bin/touch", str(mark), more=more)
        status, _, err = await ended(process)
        assert (status != 0, said in err, CANARY in err, mark.exists()) == (True, True, False, False), err
        assert "active" not in daemon.states.values()


async def test_it_waits_for_people_and_says_who_is_asked_and_how_they_answer(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[Decide] = lambda ask: daemon.permit_credential(ask) if ask.resume else HELD
        process = await begun(tmp_path, sys.executable, "-c", SAY)
        assert process.stderr is not None
        first = (await asyncio.wait_for(process.stderr.readline(), 40)).decode()
        second = (await asyncio.wait_for(process.stderr.readline(), 40)).decode()
        assert f"act_9 is {WAITS}; this command continues" in first
        assert "call again" not in first
        assert "taskbound approval sign act_9" in second
        daemon.push(HoldPush(action="act_9", state="approved"))
        assert (await ended(process))[:2] == (0, f"{CANARY} tb_x tsk_1\n")


async def test_who_interrupts_the_wait_leaves_the_question_and_ends_what_was_there(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.targets = [target_row(), target_row("other")]
        daemon.on[Decide] = lambda ask: (
            HELD if ask.tool.startswith("other") else daemon.permit_credential(ask)
        )
        daemon.on[LeaveHold] = lambda _: Done()
        more = ("--credential", "orders-db", "--credential", "other")
        process = await begun(tmp_path, "/bin/true", more=more)
        assert process.stderr is not None
        await asyncio.wait_for(process.stderr.readline(), 40)
        await asyncio.wait_for(process.stderr.readline(), 40)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 130
        assert (await daemon.asked(LeaveHold)).action == "act_9"
        assert daemon.states == {"crd_1": "revoked"}


@pytest.mark.parametrize(
    ("push", "why"),
    [
        (TaskPush(task="tsk_1", state="completed", reason="done"), "the task is completed: done"),
        (TaskPush(task="tsk_1", state="paused"), "the task is paused"),
        (StopPush(stopped=True), "everything is stopped"),
    ],
)
async def test_the_command_ends_when_its_task_does_and_is_told_why(
    tmp_path: Path, push: Any, why: str
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", STAY)
        await up(process)
        daemon.push(TaskPush(task="tsk_2", state="completed"))
        daemon.push(StopPush(stopped=False))
        daemon.push(push)
        status, _, err = await ended(process)
        assert (status, f"taskbound: the command is ended: {why}" in err) == (143, True), err
        assert daemon.states == {"crd_1": "revoked"}


async def test_a_command_that_does_not_end_when_it_is_asked_to_is_killed(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", DEAF)
        await up(process)
        daemon.push(StopPush(stopped=True))
        assert (await ended(process))[0] == 137


async def test_a_command_that_says_zero_though_it_was_ended_from_here_is_no_success(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        calm = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {STAY}"
        process = await begun(tmp_path, sys.executable, "-c", calm)
        await up(process)
        daemon.push(StopPush(stopped=True))
        assert (await ended(process))[0] == 3


async def test_a_daemon_that_does_not_answer_for_five_seconds_ends_the_command(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", STAY)
        await up(process)
        await daemon.asked(Ping)
        await daemon.stop()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        status, _, err = await ended(process)
        assert (status, "the daemon does not answer" in err, "is not ended" in err) == (143, True, True), err
        assert 3 < loop.time() - begin < 30


@pytest.mark.usefixtures("default_signals")
async def test_a_daemon_that_is_back_within_five_seconds_changes_nothing(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        process = await begun(tmp_path, sys.executable, "-c", STAY)
        await up(process)
        daemon.drop()
        while len(daemon.opened) < 2:
            await daemon.asked(type(daemon.opened[0]))
        assert daemon.opened[1].resume == "con_secret"
        await daemon.asked(Ping)
        process.send_signal(signal.SIGINT)
        status, _, err = await ended(process)
        assert (status, err.count("taskbound:"), daemon.states) == (130, 0, {"crd_1": "revoked"}), err


async def test_what_is_not_gone_in_time_is_said(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.revokes = False
        process = await begun(tmp_path, "/bin/true")
        status, _, err = await ended(process)
        assert (status, "crd_1 in orders-db is not gone yet (revoking)" in err) == (0, True), err


@pytest.mark.usefixtures("default_signals")
async def test_a_credential_that_ends_before_the_command_is_warned_of_once(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.ends = 1_000_000
        process = await begun(tmp_path, sys.executable, "-c", STAY)
        await up(process)
        await daemon.asked(Ping)
        await daemon.asked(Ping)
        process.send_signal(signal.SIGINT)
        _, _, err = await ended(process)
        assert err.count("orders-db/reader ended at 1970-01-01T00:00:01Z") == 1, err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_whoever_kills_it_leaves_no_command_with_a_credential(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock"):
        apart = (
            "import os, signal\n"
            "if os.fork() == 0:\n"
            " os.setsid()\n"
            " open('pids', 'w').write(f'{os.getpid()} {os.getppid()}')\n"
            " print('up', flush=True)\n"
            "signal.pause()\n"
        )
        pids = tmp_path / "pids"
        process = await begun(tmp_path, sys.executable, "-c", apart.replace("'pids'", repr(str(pids))))
        await up(process)
        some = [os.pidfd_open(int(one)) for one in pids.read_text().split()]
        process.kill()
        loop = asyncio.get_running_loop()
        for one in some:
            gone = asyncio.Event()
            loop.add_reader(one, gone.set)
            await asyncio.wait_for(gone.wait(), 20)
            loop.remove_reader(one)
            os.close(one)
        await ended(process)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes a process out of reach")
def test_a_process_that_hides_is_dumped_and_traced_by_nobody_of_its_account() -> None:
    code = (
        "import ctypes; from taskbound.surfaces.cli.running.keeper import hide; hide();"
        " print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"


@pytest.mark.skipif(os.getuid() == 0 or sys.platform != "linux", reason="root reads everything")
async def test_it_hides_and_its_command_does_not(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock"):
        process = await begun(tmp_path, sys.executable, "-c", STAY)
        await up(process)
        assert owner(f"/proc/{process.pid}/environ") == 0
        process.send_signal(signal.SIGTERM)
        await ended(process)


async def test_a_program_that_is_not_there_and_a_target_that_is_not_ask_for_nothing(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        for words, more, code in (
            (("no-such-program",), (), "command-missing"),
            (("true",), ("--credential", "none"), "bad-input"),
        ):
            status, _, err = await ended(await begun(tmp_path, *words, more=more))
            assert (status, f"[{code}]" in err) == (2, True), err
        assert daemon.count(Decide) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("orders-db", AskedFor("orders-db", "", {})),
        ("orders-db/reader", AskedFor("orders-db", "reader", {})),
        ("orders-db:tenant=red", AskedFor("orders-db", "", {"tenant": "red"})),
        ("a/b:x=1,y=p/q=r:s", AskedFor("a", "b", {"x": "1", "y": "p/q=r:s"})),
        ("a:x=", AskedFor("a", "", {"x": ""})),
    ],
)
def test_what_is_asked_for_is_read_as_it_is_written(text: str, found: AskedFor) -> None:
    assert parse_asked(text) == found


@pytest.mark.parametrize("text", ["", "/x", "a/", "a:", "a:x", "a:=1", "a:x=1,x=2", "a:x=1,,y=2"])
def test_what_names_no_credential_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_asked(text)


# --- renewing --------------------------------------------------------------------------------


def lives(daemon: HandingDaemon, much: float) -> None:
    """What is handed out ends so many seconds later."""

    def take(ask: TakeCredential) -> Handed:
        daemon.ends = soon(much)
        return daemon.hand_out(ask)

    daemon.on[TakeCredential] = take


def soon(much: float) -> int:
    """An instant so many seconds from now."""
    return time.time_ns() // 1_000 + round(much * 1_000_000)


async def test_i09_what_the_command_has_is_renewed_while_it_runs_each_time_by_a_decision(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        lives(daemon, 2)
        done = asyncio.Event()

        def renewed(ask: AwaitRenewal) -> Renewed:
            if daemon.count(AwaitRenewal) > 1:
                done.set()
                return Renewed(credential=ask.credential, ends=soon(600))
            return Renewed(credential=ask.credential, ends=soon(1.5))

        daemon.on[AwaitRenewal] = renewed
        process = await begun(tmp_path, sys.executable, "-c", STAY, more=("--renew", "--seconds", "2"))
        await up(process)
        await asyncio.wait_for(done.wait(), 20)
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == (143, "", "")
        first, *more = (one for one in daemon.asks if isinstance(one, Decide))
        assert bytes(first.arguments) == b'{"seconds":2}'
        assert [bytes(one.arguments) for one in more] == [b'{"renews":"crd_1","seconds":2}'] * 2
        assert len({one.request for one in (first, *more)}) == 3
        assert daemon.states == {"crd_1": "revoked"}


@pytest.mark.parametrize("held", [False, True])
async def test_a_renewal_that_is_refused_or_not_answered_is_said_and_the_command_goes_on(
    tmp_path: Path, *, held: bool
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        lives(daemon, 2)
        permit = daemon.on[Decide]
        reason = Reason(code="not-renewable", text="it is not to live longer")
        no = Refused(action="act_9", task="tsk_1", code="not-renewable", instead="", reasons=(reason,))
        daemon.on[Decide] = lambda ask: (
            (HELD if held else no) if b"renews" in bytes(ask.arguments) else permit(ask)
        )
        wait = "import time; time.sleep(2.5)"
        process = await begun(tmp_path, sys.executable, "-c", wait, more=("--renew",))
        status, _, err = await ended(process)
        assert status == 0
        asked = [one for one in daemon.asks if isinstance(one, Decide)]
        assert len(asked) == 2  # and no more: it is never asked for again and again
        assert "orders-db/reader ended at" in err
        said = (
            "no approver answered before it expired" if held else "it is not to live longer [not-renewable]"
        )
        assert said in err
        assert (daemon.count(LeaveHold) == 1) is held


async def test_what_ends_with_its_task_is_not_asked_to_live_longer(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.ends = FAR
        process = await begun(tmp_path, sys.executable, "-c", SAY, more=("--renew",))
        assert (await ended(process))[0] == 0
        assert daemon.count(Decide) == 1
