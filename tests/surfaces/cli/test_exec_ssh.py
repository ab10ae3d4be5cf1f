from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.wire.connection import Ping, StopPush, TaskPush
from taskbound.wire.target import EndCredential
from tests.adapters.ssh.keys import Pair, Speaker, admitted, handed, make_pair
from tests.peers.handing import CANARY, HandingDaemon, target_row
from tests.peers.sshd import Sshd, running
from tests.surfaces.cli.installation import PROGRAM

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
LISTING = b"\0\0\0\1\x0b"
SAY = (
    "import json, os, signal\n"
    "found = {name: value for name, value in os.environ.items() if name.startswith('SSH_')}\n"
    "print(json.dumps({**found, 'PARENT': str(os.getppid())}), flush=True)\n"
)
STAY = f"{SAY}signal.pause()\n"
DEAF = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SAY}while True: signal.pause()\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Sshd]:
    with running() as one:
        yield one


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folder of a command is made."""
    return tmp_path_factory.mktemp("r")


@pytest.fixture
def daemon(tmp_path: Path, pair: Pair) -> HandingDaemon:
    """One that hands out the pair for the host of its folder."""
    found = HandingDaemon(tmp_path / "d.sock")
    found.targets = [target_row("build-host"), target_row("other-host"), target_row("orders-db")]
    found.variables = [handed(pair)]
    return found


async def begun(
    tmp_path: Path, runtime: Path, *words: str, credentials: tuple[str, ...] = ("build-host",)
) -> Process:
    home = tmp_path / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "taskbound.toml").write_text(f'socket = "{tmp_path / "d.sock"}"\n', encoding="utf-8")
    told = ["--home", str(home), "--task", "tsk_1", "--agent", "helper"]
    told += [word for one in credentials for word in ("--credential", one)]
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        "exec",
        *told,
        "--",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(runtime),
            "SSH_AUTH_SOCK": "/the/callers/own",
        },
    )


async def ended(process: Process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def variables(process: Process) -> dict[str, str]:
    """What the command found, once it is there."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 40)
    found: dict[str, str] = json.loads(line)
    return found


def inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def secrets(pair: Pair) -> list[bytes]:
    """The lines of the private key, each of which tells of it."""
    return [line.encode() for line in pair.private.splitlines()[1:-1]]


# --- the command ---------------------------------------------------------------------------------


async def test_ssh_and_git_reach_hosts_by_their_targets_names_and_nothing_is_left(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon, host: Sshd
) -> None:
    pairs = admitted(host, tmp_path), admitted(host, tmp_path, name="other")
    async with daemon:
        daemon.variables = [handed(one, host) for one in pairs]
        git = f"GIT_SSH_COMMAND='ssh -F \"$SSH_CONFIG\"' git ls-remote build-host:{tmp_path}/none"
        line = " && ".join(f'ssh -F "$SSH_CONFIG" {one} echo in' for one in ("build-host", "other-host"))
        credentials = ("build-host", "other-host")
        words = ("/bin/sh", "-c", f"{line}; echo $SSH_HOST.; {git}")
        status, out, err = await ended(await begun(tmp_path, runtime, *words, credentials=credentials))
        assert (status, out) == (128, "in\nin\n.\n"), err
        assert "does not appear to be a git repository" in err
        assert set(daemon.states.values()) == {"revoked"}
        assert inside(runtime) == []


async def test_i11_no_private_key_is_in_any_environment_argument_or_file_or_is_printed(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon, pair: Pair
) -> None:
    async with daemon:
        process = await begun(tmp_path, runtime, sys.executable, "-c", STAY)
        found = await variables(process)
        del found["PARENT"]
        (folder,) = inside(runtime)
        assert found == {
            "SSH_AUTH_SOCK": f"{folder}/agent",
            "SSH_CONFIG": f"{folder}/config",
            "SSH_HOST": "build.example",
            "SSH_PORT": "2222",
            "SSH_USER": handed(pair)[0]["SSH_USER"],
        }
        seen = list(everything(process, tmp_path, runtime))
        assert len(seen) > 10
        assert not [one for one in seen for line in secrets(pair) if line in one]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(one.stat().st_mode) for one in inside(folder)} == {0o600}
        daemon.push(StopPush(stopped=True))
        _, out, err = await ended(process)
        assert "PRIVATE KEY" not in out + err


def everything(process: Process, *folders: Path) -> Iterator[bytes]:
    """The arguments and variables of all processes that can be read, the command's too, and all files."""
    beneath = 0
    for one in Path("/proc").glob("[0-9]*"):
        try:
            environment = (one / "environ").read_bytes()
            yield environment
            yield (one / "cmdline").read_bytes()
        except OSError:
            continue
        beneath += b"SSH_CONFIG=" in environment
    assert beneath > 0
    assert process.returncode is None
    for folder in folders:
        yield from (one.read_bytes() for one in folder.rglob("*") if one.is_file())


async def test_the_agent_is_the_commands_beside_credentials_that_are_variables(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon
) -> None:
    async with daemon:
        daemon.variables.append(({"PGHOST": "db"}, {"PGPASSWORD": CANARY}))
        words = ("/bin/sh", "-c", 'echo "$PGPASSWORD $SSH_HOST" && ssh-add -l')
        process = await begun(tmp_path, runtime, *words, credentials=("build-host", "orders-db"))
        status, out, err = await ended(process)
        said, listed = out.splitlines()
        assert (status, said) == (0, f"{CANARY} build.example"), err
        assert "build-host (ED25519-CERT)" in listed


@pytest.mark.parametrize(
    ("code", "credentials"),
    [
        ("bad-ssh-credential", ("build-host",)),
        ("bad-ssh-key", ("build-host",)),
        ("same-host", ("build-host/reader", "build-host/reader")),
        ("clashing-variables", ("build-host", "orders-db")),
    ],
)
async def test_nothing_runs_with_what_is_no_host_or_would_clash(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon, pair: Pair, code: str, credentials: tuple[str, ...]
) -> None:
    opens, secret = handed(pair)
    other = {"SSH_PRIVATE_KEY": make_pair(tmp_path).private}
    made = {
        "bad-ssh-credential": [({**opens, "SSH_HOST": "-oProxyCommand=x"}, secret)],
        "bad-ssh-key": [(opens, other)],
        "same-host": [(opens, secret), (opens, secret)],
        "clashing-variables": [(opens, secret), ({"SSH_CONFIG": "/x"}, {"PGPASSWORD": CANARY})],
    }
    async with daemon:
        mark = tmp_path / "ran"
        daemon.variables = made[code]
        process = await begun(tmp_path, runtime, "/usr/bin/touch", str(mark), credentials=credentials)
        status, _, err = await ended(process)
        assert (status in {2, 3}, f"[{code}]" in err, mark.exists()) == (True, True, False), err
        assert set(daemon.states.values()) == {"revoked"}
        assert inside(runtime) == []


# --- its end -------------------------------------------------------------------------------------


async def test_an_ended_task_ends_the_agent_at_once_with_its_open_connections(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon
) -> None:
    async with daemon:
        process = await begun(tmp_path, runtime, sys.executable, "-c", DEAF)
        found = await variables(process)
        with Speaker(Path(found["SSH_AUTH_SOCK"])) as speaker:
            assert speaker.ask(LISTING)[:5] == b"\x0c\0\0\0\1"
            daemon.push(TaskPush(task="tsk_1", state="completed"))
            assert await asyncio.to_thread(speaker.answer) == b""
            assert process.returncode is None  # it is deaf, and killed after two seconds
            assert {one.suffix or one.name for one in inside(runtime / Path(found["SSH_CONFIG"]).parent)} == {
                "config",
                "known_hosts",
                ".pub",
            }
        assert (await ended(process))[0] == 137
        assert inside(runtime) == []


async def test_a_credential_that_is_over_opens_nothing_while_the_command_goes_on_and_hears_signals(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon
) -> None:
    async with daemon:
        daemon.ends = 1_000_000
        process = await begun(tmp_path, runtime, sys.executable, "-c", STAY)
        found = await variables(process)
        with Speaker(Path(found["SSH_AUTH_SOCK"])) as speaker:
            assert speaker.ask(LISTING) == b"\x0c\0\0\0\0"
            await daemon.asked(Ping)
            with daemon.holding(EndCredential) as asked:
                process.send_signal(signal.SIGTERM)
                held = await asked.next()
                speaker.socket.settimeout(3)  # sooner than the question is given up
                assert await asyncio.to_thread(speaker.answer) == b""
                said = daemon.on[EndCredential](held.ask)
                assert said is not None
                held.answer(said)
        assert ((await ended(process))[0], daemon.states) == (143, {"crd_1": "revoked"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_whoever_kills_it_leaves_no_agent_and_no_folder(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon
) -> None:
    async with daemon:
        process = await begun(tmp_path, runtime, sys.executable, "-c", DEAF)
        found = await variables(process)
        keeper = os.pidfd_open(int(found["PARENT"]))
        with Speaker(Path(found["SSH_AUTH_SOCK"])) as speaker:
            process.kill()
            assert await asyncio.to_thread(speaker.answer) == b""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(keeper, gone.set)
        await asyncio.wait_for(gone.wait(), 20)
        loop.remove_reader(keeper)
        os.close(keeper)
        assert inside(runtime) == []
        await ended(process)


async def test_what_the_command_left_in_the_folder_goes_with_it_and_a_link_is_not_followed(
    tmp_path: Path, runtime: Path, daemon: HandingDaemon
) -> None:
    async with daemon:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "kept").touch()
        line = f'cd "$(dirname "$SSH_CONFIG")"; touch x; mkdir -m 0 y; ln -s {tmp_path}/mine z'
        status, _, err = await ended(await begun(tmp_path, runtime, "/bin/sh", "-c", line))
        assert (status, err, inside(runtime)) == (0, "", [])
        assert (tmp_path / "mine" / "kept").exists()
