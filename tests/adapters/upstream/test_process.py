from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.upstream.mcp.errors import ServerChangedError, StartFailedError
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.adapters.upstream.mcp.process import (
    ServerProcess,
    adopt_orphans,
    children,
    descendants,
    end_orphans,
    environment_for,
)
from taskbound.wire.tool import identity_of
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.core.tool import ServerIdentity

pytestmark = pytest.mark.anyio
DEADLINE = 20.0


class Ears:
    """Hears everything, and can wait for it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.silent: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._more = asyncio.Event()

    def heard(self, data: bytes) -> None:
        self.data += data
        self._more.set()

    def fell_silent(self, reason: str, detail: str) -> None:
        self.silent.set_result((reason, detail))
        self._more.set()

    async def until(self, wanted: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            while wanted not in self.data:
                self._more.clear()
                await self._more.wait()
        return bytes(self.data)

    async def end(self) -> tuple[str, str]:
        return await asyncio.wait_for(asyncio.shield(self.silent), DEADLINE)


def identity(tmp_path: Path, program: str, *, environment: dict[str, str] | None = None) -> ServerIdentity:
    script = tmp_path / "server.py"
    script.write_text(program, encoding="utf-8")
    command = [sys.executable, str(script)]
    spec = pin_server("x", command, environment=environment or {}, directory=str(tmp_path))
    return identity_of(spec, namespace="default")


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path,
    program: str,
    *,
    environment: dict[str, str] | None = None,
    ours: dict[str, str] | None = None,
) -> AsyncIterator[tuple[ServerProcess, Ears]]:
    ears = Ears()
    process = await ServerProcess.start(
        identity(tmp_path, program, environment=environment),
        ears,
        ours=dict(os.environ) if ours is None else ours,
    )
    try:
        yield process, ears
    finally:
        process.kill()
        await process.stop(grace=0.5)


ECHO = "import os\nwhile data := os.read(0, 65536):\n    os.write(1, data)\n"


async def test_what_is_written_is_read_and_what_it_says_is_heard(tmp_path: Path) -> None:
    async with running(tmp_path, ECHO) as (process, ears):
        process.write(b"hello\n")
        assert await ears.until(b"hello\n") == b"hello\n"


async def test_a_server_sees_only_what_is_declared_and_what_every_program_needs(tmp_path: Path) -> None:
    ours = {
        "HOME": "/home/x", "PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TERM": "t", "TMPDIR": "/t",
        "USER": "u", "LOGNAME": "l", "SHELL": "/bin/sh", "SECRET": "canary", "PYTHONPATH": "/evil",
        "LD_PRELOAD": "/evil.so", "TASKBOUND_HOME": "/h", "SSH_AUTH_SOCK": "/s", "lc_x": "no",
    }  # fmt: skip  # a table reads better as one
    program = "import json, os\nprint(json.dumps(dict(os.environ)), flush=True)\n"
    async with running(tmp_path, program, environment={"TOKEN": "mine", "TERM": "dumb"}, ours=ours) as (
        _,
        ears,
    ):
        seen = json.loads(await ears.until(b"}"))
    seen.pop("LC_CTYPE", None)  # Python sets it for itself in the C locale
    kept = {
        name: ours[name] for name in ("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SHELL")
    }
    assert seen == {**kept, "TERM": "dumb", "TOKEN": "mine"}


STARTER = """
import asyncio, os, sys
from pathlib import Path
from tests.adapters.upstream.test_process import Ears, identity
from taskbound.adapters.upstream.mcp.process import ServerProcess
DEAF = "import os, signal\\nprint(os.getpid(), flush=True)\\nwhile True:\\n    signal.pause()\\n"
async def main():
    one, ears = identity(Path(sys.argv[1]), DEAF), Ears()
    await ServerProcess.start(one, ears, ours={}, secret=(("TOKEN", "hunter2"),))
    print(int(await ears.until(b"\\n")), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_server_with_secrets_ends_with_whoever_started_it_also_where_that_is_killed(
    tmp_path: Path,
) -> None:
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert starter.stdout is not None
    server = os.pidfd_open(int(await asyncio.wait_for(starter.stdout.readline(), DEADLINE)))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(server, ended.set)
    try:
        assert not ended.is_set()
        starter.kill()
        await asyncio.wait_for(ended.wait(), DEADLINE)
    finally:
        asyncio.get_running_loop().remove_reader(server)
        os.close(server)
        await starter.wait()


def test_a_declared_variable_goes_before_ours() -> None:
    assert environment_for((("PATH", "/mine"),), {"PATH": "/ours"}) == {"PATH": "/mine"}


async def test_a_server_runs_in_its_pinned_directory_as_leader_of_its_session(tmp_path: Path) -> None:
    program = (
        "import os\nme = os.getpid()\n"
        "print(os.getcwd(), os.getsid(0) == me, os.getpgid(0) == me, flush=True)\n"
    )
    async with running(tmp_path, program) as (_, ears):
        assert (await ears.until(b"\n")).decode().split() == [str(tmp_path), "True", "True"]


async def test_a170_a_server_whose_file_was_replaced_is_not_started(tmp_path: Path) -> None:
    one = identity(tmp_path, "import pathlib; pathlib.Path('ran').touch()\n")
    (tmp_path / "server.py").write_text("import pathlib; pathlib.Path('evil').touch()\n", encoding="utf-8")
    with pytest.raises(ServerChangedError):
        await ServerProcess.start(one, Ears(), ours=dict(os.environ))
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "ran").exists()


async def test_a_server_that_the_system_can_not_start_says_why(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\x7fELFnonsense")
    rubbish.chmod(0o755)
    spec = pin_server("x", [str(rubbish)], environment={}, directory=str(tmp_path))
    with pytest.raises(StartFailedError):
        await ServerProcess.start(identity_of(spec, namespace="default"), Ears(), ours={})


async def test_standard_error_is_read_to_the_end_and_only_a_tail_is_kept(tmp_path: Path) -> None:
    program = (
        "import os, sys\nsys.stderr.buffer.write(b'x' * 3_000_000)\n"
        "os.write(2, b'\\x1b[2Jlast \\xff words')\nos.write(1, b'done')\n"
    )
    async with running(tmp_path, program) as (process, ears):
        await ears.until(b"done")
        reason, detail = await ears.end()
        assert reason == "the server ended with status 0"
        assert detail.endswith("last \ufffd words")
        assert detail.isprintable()
        assert len(process._tail) <= 4096  # noqa: SLF001 -- that it is bounded is the point


async def test_what_it_wrote_before_it_ended_is_heard(tmp_path: Path) -> None:
    program = "import os\nos.write(1, b'a' * 200_000 + b'end')\nos._exit(3)\n"
    async with running(tmp_path, program) as (_, ears):
        assert await ears.end() == ("the server ended with status 3", "")
        assert len(ears.data) == 200_003


async def test_a_server_that_closes_its_output_and_lives_on_has_fallen_silent(tmp_path: Path) -> None:
    program = "import os, signal\nos.close(1)\nwhile True: signal.pause()\n"
    async with running(tmp_path, program) as (_, ears):
        assert (await ears.end())[0] == "the server closed its output"


IGNORES = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\\nwhile True: signal.pause()"
inside = subprocess.Popen([sys.executable, "-c", code])
outside = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print(inside.pid, outside.pid, flush=True)
while True: signal.pause()
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"


async def gone(*pids: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while any(map(alive, pids)):
            await others()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells who stands beneath whom")
async def test_ending_a_server_ends_its_group_and_what_left_its_group(tmp_path: Path) -> None:
    async with running(tmp_path, IGNORES) as (process, ears):
        inside, outside = map(int, (await ears.until(b"\n")).split())
        assert {inside, outside} <= set(descendants(process.pid))
        await process.stop(grace=0.2)
        await gone(process.pid, inside, outside)


async def test_a_server_that_ends_at_eof_is_not_signalled(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: pathlib.Path('term').touch())\n"
        "sys.stdin.read()\n"
    )
    async with running(tmp_path, program) as (process, ears):
        await process.stop(grace=10.0)
        assert (await ears.end())[0] == "the server ended with status 0"
    assert not (tmp_path / "term").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has a subreaper")
async def test_what_a_server_leaves_behind_is_found_and_ended_and_what_is_known_is_not(
    tmp_path: Path,
) -> None:
    assert adopt_orphans()
    try:
        program = (
            "import os, subprocess, sys\n"
            "code = 'import os, signal, sys\\nif os.fork(): os._exit(0)\\nos.setsid()\\n"
            "print(os.getpid(), flush=True)\\nos.close(1)\\nos.close(2)\\nwhile True: signal.pause()'\n"
            "subprocess.run([sys.executable, '-c', code], start_new_session=True)\n"
            "sys.stdin.read()\n"
        )
        async with running(tmp_path, program) as (process, ears):
            orphan = int(await ears.until(b"\n"))
            async with asyncio.timeout(DEADLINE):
                while orphan not in children(os.getpid()):
                    await others()
            known = set(children(os.getpid())) - {orphan}
            assert end_orphans(known) == [orphan]
            await gone(orphan)
            assert alive(process.pid)
    finally:
        adopt_orphans(on=False)


async def test_reading_can_be_paused_and_taken_up_again(tmp_path: Path) -> None:
    async with running(tmp_path, ECHO) as (process, ears):
        process.write(b"one\n")
        await ears.until(b"one\n")
        process.pause()
        process.pause()
        process.write(b"two\n")
        process.resume()
        process.resume()
        assert await ears.until(b"two\n") == b"one\ntwo\n"


async def test_writing_to_a_server_that_is_gone_is_no_error(tmp_path: Path) -> None:
    async with running(tmp_path, "pass\n") as (process, ears):
        await ears.end()
        for _ in range(20):
            process.write(b"x" * 100_000)
        process.signal(signal.SIGTERM)
        process.kill()
