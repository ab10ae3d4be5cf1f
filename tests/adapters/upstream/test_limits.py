"""What a server is started with: what it may use, what it can't reach, and programs that try."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskbound.adapters.upstream.mcp.errors import LimitNotKeptError, StartFailedError
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.adapters.upstream.mcp.process import (
    DEFAULTS,
    ServerProcess,
    children,
    died_of,
    kept,
    require_kept,
)
from taskbound.wire.tool import identity_of
from tests.adapters.upstream.test_process import Ears
from tests.house.tree import ROOT

pytestmark = pytest.mark.anyio
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps this limit")
LAUNCH = ROOT / "src/taskbound/adapters/upstream/mcp/launch.py"


@contextlib.asynccontextmanager
async def limited(folder: Path, program: str, *limits: str) -> AsyncIterator[tuple[ServerProcess, Ears]]:
    script = folder / "server.py"
    script.write_text(textwrap.dedent(program), encoding="utf-8")
    spec = pin_server(
        "x", [sys.executable, str(script)], environment={}, directory=str(folder), limits=limits
    )
    ears = Ears()
    process = await ServerProcess.start(
        identity_of(spec, namespace="default"), ears, ours={"PATH": os.environ["PATH"]}
    )
    try:
        yield process, ears
    finally:
        process.kill()
        await process.stop(grace=0.5)


async def said(folder: Path, program: str, *limits: str) -> tuple[str, str]:
    """What a program that ends by itself wrote, and how it ended."""
    async with limited(folder, program, *limits) as (_, ears):
        reason, _ = await ears.end()
        return ears.data.decode(), reason


# --- each limit, with a program that goes past it and a twin that does not ----------------------------------

DATA = """
import mmap
try:
    held = mmap.mmap(-1, {size} << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    print("had", flush=True)
except OSError as error:
    print("refused", error.errno, flush=True)
"""


@LINUX
@pytest.mark.parametrize(
    ("size", "limits", "found"),
    [
        (200, ("memory=150MiB",), "refused 12"),
        (100, ("memory=150MiB",), "had"),
        (5_000, (), "refused 12"),
        (5_000, ("memory=none",), "had"),
    ],
)
async def test_data_is_bounded_also_where_nothing_is_declared(
    size: int, limits: tuple[str, ...], found: str, tmp_path: Path
) -> None:
    assert await said(tmp_path, DATA.format(size=size), *limits) == (
        f"{found}\n",
        "the server ended with status 0",
    )


@LINUX
async def test_address_space_that_is_only_reserved_counts_for_nothing(tmp_path: Path) -> None:
    reserve = """
    import ctypes, mmap
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    word, number = ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = [ctypes.c_void_p, word, number, number, number, ctypes.c_long]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    place = libc.mmap(None, 60 << 30, 0, flags, -1, 0)
    print("reserved" if place != ctypes.c_void_p(-1).value else ctypes.get_errno(), flush=True)
    """
    assert (await said(tmp_path, reserve, "memory=150MiB"))[0] == "reserved\n"


FILES = """
import os, resource
held = []
try:
    for _ in range({count}):
        held.append(os.open("/dev/null", os.O_RDONLY))
    print("had", flush=True)
except OSError as error:
    print("refused", error.errno, flush=True)
"""


@pytest.mark.parametrize(("count", "found"), [(64, "refused 24"), (50, "had")])
async def test_open_files_are_bounded(count: int, found: str, tmp_path: Path) -> None:
    assert (await said(tmp_path, FILES.format(count=count), "files=64"))[0] == f"{found}\n"


RAISES = """
import os, resource
if os.geteuid() == 0:
    os.setuid(65534)  # root may raise what it likes
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(hard, flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + {more}))
print("raised", flush=True)
"""


@pytest.mark.parametrize(("more", "found"), [(0, ["raised"]), (1, [])])
async def test_a_program_may_raise_its_open_files_to_the_default_and_no_further(
    more: int, found: list[str], tmp_path: Path
) -> None:
    most, *then = (await said(tmp_path, RAISES.format(more=more)))[0].split()
    assert int(most) <= DEFAULTS["files"]
    assert then == found


async def test_a_program_starts_with_the_open_files_that_its_gateway_has_unless_it_is_declared(
    tmp_path: Path,
) -> None:
    program = "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)\n"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, before[1]))
    try:
        assert [(await said(tmp_path, program, *one))[0] for one in ((), ("files=900",))] == [
            "700\n",
            "900\n",
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


CPU = """
import time
begin = time.process_time()
while time.process_time() - begin < {seconds}:
    pass
print("done", flush=True)
"""


@pytest.mark.parametrize(("seconds", "found"), [(3, ""), (0.2, "done\n")])
async def test_who_uses_up_its_processor_time_dies_of_it_by_name(
    seconds: float, found: str, tmp_path: Path
) -> None:
    heard, reason = await said(tmp_path, CPU.format(seconds=seconds), "cpu=1")
    assert heard == found
    ended = f"status -{int(signal.SIGXCPU)}: it went past its limit cpu=1" if not found else "status 0"
    assert reason == f"the server ended with {ended}"


async def test_who_takes_no_notice_of_it_is_killed_a_second_later(tmp_path: Path) -> None:
    ignores = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n" + CPU.format(seconds=9)
    assert await said(tmp_path, ignores, "cpu=1") == (
        "",
        f"the server ended with status -{int(signal.SIGKILL)}",
    )


SIZE = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
with open("written", "wb", buffering=0) as file:
    for _ in range({count}):
        file.write(b"x" * 1024)
print("done", flush=True)
"""


@pytest.mark.parametrize(("count", "found"), [(65, ""), (64, "done\n")])
async def test_who_writes_too_large_a_file_dies_of_it_by_name(count: int, found: str, tmp_path: Path) -> None:
    heard, reason = await said(tmp_path, SIZE.format(count=count), "size=64KiB")
    assert heard == found
    ended = f"status -{int(signal.SIGXFSZ)}: it went past its limit size=64KiB" if not found else "status 0"
    assert reason == f"the server ended with {ended}"
    assert (tmp_path / "written").stat().st_size == 65_536


FORKS = """
import os
if os.geteuid() == 0:
    os.setuid(65534)  # the processes of root are not counted
try:
    child = os.fork()
except BlockingIOError:
    print("refused", flush=True)
else:
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", flush=True)
"""


@LINUX
@pytest.mark.parametrize(
    ("limit", "found"), [("RLIMIT_NPROC:1:1", "refused\n"), ("RLIMIT_CORE:0:0", "forked\n")]
)
def test_the_processes_of_an_account_are_bounded_in_who_is_launched(limit: str, found: str) -> None:
    assert launched(limit, [sys.executable, "-c", FORKS]) == found


@pytest.mark.parametrize("said", [b"", b"3\0RLIMIT_CORE:0:0\0"])
def test_a_launcher_whose_starter_is_gone_ends_and_runs_nothing(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with (
        theirs,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), str(theirs.fileno())], pass_fds=(theirs.fileno(),)
        ) as process,
    ):
        with ours:
            ours.sendall(said)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()


def launched(limits: str, command: list[str], parent: str = "", **environment: str) -> str:
    """What a command writes that `launch` becomes; where it is said, it ends with this process."""
    with contextlib.ExitStack() as stack:
        reading, writing = os.pipe()
        variables = [part for pair in environment.items() for part in pair]
        fields = [limits, command[0], parent, str(len(environment)), *variables, *command]
        os.write(writing, f"{len(fields)}\0".encode() + b"".join(one.encode() + b"\0" for one in fields))
        stack.callback(os.close, reading)
        stack.callback(os.close, writing)
        return subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCH), str(reading)],
            pass_fds=(reading,), stdout=subprocess.PIPE, text=True, check=True, env={},
        ).stdout  # fmt: skip  # the program in one line


@LINUX
@pytest.mark.parametrize(
    ("parent", "found"),
    [("", "ran\n"), (str(os.getpid()), "ran\n"), ("1", "")],
    ids=["nobody", "its-own", "another"],
)
def test_who_ends_with_its_starter_is_not_run_where_that_is_gone_already(parent: str, found: str) -> None:
    assert launched("RLIMIT_CORE:0:0", [sys.executable, "-c", "print('ran')"], parent) == found


def test_what_this_system_does_not_keep_can_not_be_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LimitNotKeptError, match="processes of root"):
        require_kept([("processes", 4)])
    with pytest.raises(LimitNotKeptError):
        pin_server("x", [sys.executable, "-V"], environment={}, directory="/", limits=["processes=4"])
    require_kept([("processes", 0)])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    require_kept([("processes", 4)])
    assert "RLIMIT_NPROC:4:4" in kept([("processes", 4)])
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LimitNotKeptError, match="only Linux"):
        require_kept([("memory", 1 << 30)])
    assert "RLIMIT_DATA" not in kept(())


def test_a_death_that_no_declared_limit_explains_names_none() -> None:
    limits = (("cpu", 5), ("files", 64))
    assert died_of(-signal.SIGXCPU, limits) == "cpu=5"
    assert died_of(-signal.SIGXFSZ, limits) == ""
    assert died_of(-signal.SIGKILL, limits) == ""
    assert died_of(0, limits) == died_of(None, limits) == ""


# --- what every server is started with ----------------------------------------------------------------------


async def test_a_server_has_three_pipes_and_no_core_and_nothing_it_makes_is_writable_for_others(
    tmp_path: Path,
) -> None:
    program = """
    import os, resource, signal, stat
    def held(one):
        try:
            os.fstat(one)
        except OSError:
            return False
        return True
    kinds = {stat.S_IFMT(os.fstat(one).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK) for one in (0, 1, 2)}
    others = [one for one in range(3, 1024) if held(one)]
    print(kinds == {True}, others, resource.getrlimit(resource.RLIMIT_CORE))
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o666))
    os.close(0)
    """
    kept_open = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept_open, True)  # noqa: FBT003 -- it has no names
    before = os.umask(0)
    try:
        found, _ = await said(tmp_path, program)
    finally:
        os.umask(before)
        os.close(kept_open)
    assert found == "True [] (0, 0)\n"
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644


@LINUX
async def test_what_starts_a_server_is_not_changed_by_the_environment_of_its_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/no/such/library.so")  # the loader would complain of it
    async with limited(tmp_path, "pass\n") as (_, ears):
        assert await ears.end() == ("the server ended with status 0", "")


async def test_a_narrower_umask_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        await said(tmp_path, "import os\nos.close(os.open('made', os.O_CREAT, 0o666))\n")
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


TERMINAL = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.adapters.upstream.test_limits import said

async def main():
    os.close(os.open("/dev/tty", os.O_RDWR))  # there is one here
    print(await said(Path({folder!r}), {program!r}), flush=True)

asyncio.run(main())
"""
TRIES = """
import os
for one in (0, 1, 2):
    if os.isatty(one):
        print("a terminal is", one)
try:
    os.open("/dev/tty", os.O_RDWR)
except OSError as error:
    print("refused", error.errno)
print(os.getsid(0) == os.getpid() == os.getpgrp())
"""


def test_a_server_has_no_terminal_where_its_gateway_has_one(tmp_path: Path) -> None:
    import pty  # noqa: PLC0415 -- not on every system

    program = TERMINAL.format(root=str(ROOT), folder=str(tmp_path), program=TRIES)
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", program])  # noqa: S606 -- the child of a fork
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while more := os.read(terminal, 4096):
            shown += more
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0, shown
    assert b"refused 6" in shown, shown  # ENXIO
    assert b"True" in shown
    assert b"a terminal is" not in shown


@pytest.mark.parametrize(("launched_by", "status"), [(True, -signal.SIGPIPE), (False, 0)])
def test_the_signals_that_python_ignores_are_a_server_s_again(*, launched_by: bool, status: int) -> None:
    dies = ["/bin/sh", "-c", "kill -PIPE $$"]
    if launched_by:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            launched("RLIMIT_CORE:0:0", dies)
        assert caught.value.returncode == status
    else:  # what the test stands on: who is run by Python itself has it ignored
        code = f"import os\nos.execv('/bin/sh', {dies!r})"
        assert (
            subprocess.run([sys.executable, "-c", code], check=False, restore_signals=False).returncode
            == status
        )


def test_what_is_launched_has_exactly_the_environment_that_it_is_given() -> None:
    code = "import os\nprint(sorted(os.environb.items()))"
    shown = launched("RLIMIT_CORE:0:0", [sys.executable, "-c", code], LC_ALL="C", TOKEN="a=b é", EMPTY="")
    assert shown == f"{[(b'EMPTY', b''), (b'LC_ALL', b'C'), (b'TOKEN', 'a=b é'.encode())]}\n"


async def test_a_server_that_can_not_be_run_is_none_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\x7fELFnonsense")
    rubbish.chmod(0o755)
    spec = pin_server("x", [str(rubbish)], environment={}, directory=str(tmp_path))
    before = set(children(os.getpid()))
    with pytest.raises(StartFailedError, match="Exec format error"):
        await ServerProcess.start(identity_of(spec, namespace="default"), Ears(), ours={})
    assert set(children(os.getpid())) <= before
