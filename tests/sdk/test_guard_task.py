from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.sdk.credential import OtherTaskBoundError
from tests.sdk.noted import note, note_later
from tests.sdk.notes import async_client_at, client_at, noting, within
from tests.sdk.program import AGENT, EXAMPLE, Settled, settled
from tests.wiring.running import client, until

PROGRAM = """
import os, sys, signal
from taskbound import AsyncClient, Client, TaskboundError, TaskNotStartedError, RefusedError, guard

sys.path.insert(0, {folder!r})
from notes import note

client = Client(agent="helper")
file, how = sys.argv[1:]
with client.task("keep notes", template="notes", heartbeat=5, grace=5) as task:
    assert not task.joined
    note(file, how)
    match how:
        case "fail":
            raise ZeroDivisionError("kanarienvogel")
        case "interrupt":
            raise KeyboardInterrupt
        case "leave":
            sys.exit(0)
        case "daemon":
            os.kill(int(os.environ["DAEMON"]), signal.SIGKILL)
print("out")
try:
    note(file, "after")
except TaskboundError as error:
    print(error.code)
try:
    with client.task("another", template="notes"):
        pass
except TaskNotStartedError as error:
    print(error.code, error.message)
client.close()
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    folder = tmp_path_factory.mktemp("task")
    with settled(folder) as found:
        (folder / "program.py").write_text(PROGRAM.format(folder=str(EXAMPLE.parent)))
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    """A daemon of which this process never was a gateway's: what it starts is a person's."""
    folder = tmp_path_factory.mktemp("alone")
    with settled(folder) as found:
        (folder / "beside.py").write_text(BESIDE.format(folder=str(EXAMPLE.parent)))
        yield found


def states(there: Settled) -> list[str]:
    return [row.state for row in there.tasks()]


def test_a_task_is_started_with_its_block_and_completed_with_it(there: Settled) -> None:
    done = there.run("program.py", str(there.file), "well")
    assert done.returncode == 0, done.stderr
    row = there.tasks()[0]
    assert (row.agent, row.requester, row.purpose, row.state) == (AGENT, "alice", "keep notes", "completed")
    out, after, again = done.stdout.splitlines()
    assert (out, after) == ("out", "no-client")
    assert again.startswith("no-task-started no task was started")  # the process is the agent's by now
    assert "well" in there.file.read_text()
    assert "after" not in there.file.read_text()


@pytest.mark.parametrize(
    ("how", "state", "reason", "status"),
    [
        ("fail", "failed", "ZeroDivisionError", 1),
        ("interrupt", "cancelled", "KeyboardInterrupt", -signal.SIGINT),
        ("leave", "cancelled", "SystemExit", 0),
    ],
)
def test_what_leaves_the_block_says_how_its_task_ended_by_its_type_and_no_word_of_it(
    there: Settled, how: str, state: str, reason: str, status: int
) -> None:
    done = there.run("program.py", str(there.file), how)
    assert done.returncode == status, done.stderr
    assert states(there)[0] == state
    task = there.tasks()[0].task
    until(lambda: bool(there.records("task-changed", task)), "the end is in the log")
    said = "".join(there.records("task-changed", task))
    assert reason in said
    assert "kanarienvogel" not in said


def test_a_task_that_is_named_is_joined_and_left_to_whoever_started_it(there: Settled) -> None:
    words = (
        "import sys; from taskbound import Client\n"
        f"sys.path.insert(0, {str(EXAMPLE.parent)!r})\n"
        "from notes import note\n"
        "with Client(agent='helper').task('mine', template='notes') as task:\n"
        "    print(task.joined, task.purpose); note(sys.argv[1], 'joined')\n"
    )
    program = there.folder / "join.py"
    program.write_text(words)
    done = there.run(
        "-c",
        "import sys; from taskbound.wiring.cli import main; sys.exit(main())",
        "run",
        *("--agent", AGENT, "--template", "notes", "--purpose", "theirs", "--"),
        *(sys.executable, str(program), str(there.file)),
    )
    assert "True theirs" in done.stdout, done.stderr
    assert there.tasks()[0].purpose == "theirs"
    assert len([row for row in there.tasks() if row.purpose == "mine"]) == 0
    assert "joined" in there.file.read_text()


def test_a_task_that_can_not_be_ended_is_an_error(tmp_path: Path) -> None:
    with settled(tmp_path) as there:
        (tmp_path / "program.py").write_text(PROGRAM.format(folder=str(EXAMPLE.parent)))
        done = there.run("program.py", str(there.file), "daemon", DAEMON=str(there.process.process.pid))
        assert done.returncode == 1
        assert "TaskNotEndedError" in done.stderr
        assert "was not ended" in done.stderr
        there.process.wait()


def test_a_program_without_a_person_starts_no_task(there: Settled) -> None:
    with client(there.socket, "gateway", AGENT):
        done = there.run(
            "-c",
            "from taskbound import Client\nwith Client(agent='nobody').task('x', template='notes'): pass",
        )
    assert done.returncode == 1
    assert "TaskNotStartedError" in done.stderr


BESIDE = """
import asyncio, sys, threading
from taskbound import AsyncClient, Client, TaskNotStartedError

sys.path.insert(0, {folder!r})
from notes import note

file, how = sys.argv[1:]
client = Client(agent="helper")


def another():
    try:
        with client.task("another", template="notes"):
            note(file, "in another")
    except TaskNotStartedError as error:
        print(error.message)


async def awaited():
    client = AsyncClient(agent="helper")
    async with client.task("keep notes", template="notes"):
        try:
            async with client.task("another", template="notes"):
                print("entered")
        except TaskNotStartedError as error:
            print(error.message)
    await client.close()


def torn():
    raise ZeroDivisionError


if how == "awaited":
    asyncio.run(awaited())
    sys.exit()
if how == "torn":
    client._link.belong = torn
with client.task("keep notes", template="notes"):
    if how == "within":
        another()
    else:
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    note(file, how)
client.close()
"""


@pytest.mark.parametrize("how", ["within", "beside", "awaited"])
def test_a_block_within_or_beside_another_is_refused_and_runs_nothing_in_the_first_ones_task(
    alone: Settled, how: str
) -> None:
    done = alone.run("beside.py", str(alone.file), how)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a block of this client has started a task, and is not over\n"
    assert states(alone)[0] == "completed"
    assert "another" not in [row.purpose for row in alone.tasks()]
    if how != "awaited":
        assert how in alone.file.read_text()
        assert "in another" not in alone.file.read_text()


def test_a_task_that_was_started_and_can_not_be_belonged_to_is_ended(alone: Settled) -> None:
    done = alone.run("beside.py", str(alone.file), "torn")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert states(alone)[0] == "failed"


@pytest.mark.anyio
async def test_a_connection_that_stands_in_another_task_than_the_one_just_made_is_refused(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        async with async_client_at(place) as client:
            await note_later("hello")
            link = vars(client)["_link"]
            link.task = "tsk_made"
            with pytest.raises(OtherTaskBoundError, match="not to the one named"):
                await link.belong()

        def work() -> None:
            with client_at(place) as client:
                note("hello")
                link = vars(client)["_link"]
                link.task = "tsk_made"
                with pytest.raises(OtherTaskBoundError, match="not to the one named"):
                    link.belong()

        await within(work)
