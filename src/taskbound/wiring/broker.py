"""The broker process: the only process with admin access to targets.

1. Where the system supports it, no other process can read its memory, not even one of the same account, and
   it leaves no core dump.
2. It creates a key, with the memory that belongs to it, only with `--create`.
3. It is a client of the daemon with its own right. It receives row names and reads the rows from the store.
4. The driver of a target kind is loaded on first use. A missing driver is reported with the package to
   install and affects only that kind.
5. On exit, or when its lifeline closes, running work in targets has two seconds; unfinished work is left to
   its leases, as after a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from taskbound import __version__
from taskbound.adapters.clock.system import SystemClock, elapsed
from taskbound.adapters.keys.file import BrokerDirectory, create_broker_directory
from taskbound.adapters.keys.sealing import hand
from taskbound.core.errors import TaskboundError
from taskbound.core.target import (
    GithubAccess,
    GithubPlace,
    OauthAccess,
    OauthPlace,
    OpenbaoAccess,
    OpenbaoKind,
    OpenbaoPlace,
    OpensshAccess,
    OpensshPlace,
    PostgresAccess,
    PostgresPlace,
    RedisAccess,
    RedisPlace,
    StsAccess,
    StsKind,
    StsPlace,
)
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.broker.memory import EMPTY, Memory, UnknownKindError
from taskbound.surfaces.broker.steps import DaemonAuthority, Watch, WorkerDependencies
from taskbound.surfaces.broker.targets import HandleVault, Targets
from taskbound.surfaces.broker.work import BrokerSocket, Work
from taskbound.wire.connection import Open
from taskbound.wiring.accounts import open_to_group, parse_group
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.hidden import hide
from taskbound.wiring.lifeline import Lifeline
from taskbound.wiring.log import open_log
from taskbound.wiring.ready import say_failed, say_ready
from taskbound.wiring.store import DriverMissingError, open_reader
from taskbound.wiring.verifiers import LaterSignatures, LaterTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.target import AdminAccess, TargetFile
    from taskbound.ports.identity import Signatures
    from taskbound.ports.target import Target
    from taskbound.surfaces.broker.steps import Connect
    from taskbound.surfaces.broker.targets import Beside, Plug
    from taskbound.wire.envelope import Push
    from taskbound.wire.jose import SignatureCheck


_log = logging.getLogger(__name__)
_BACKLOG: Final = 128
_LAST: Final = 2.0
"""Seconds that what is under way has at the end (rule 5)."""


class _Proves:
    def __init__(self) -> None:
        self.signatures: Signatures = LaterSignatures()
        self.tokens: SignatureCheck = LaterTokens()


def main(arguments: list[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 4 if it could not start."""
    told = _read_arguments(arguments)
    open_log("broker", told.log_level)
    os.umask(0o077)
    hide()
    keys = Path(told.keys)
    try:
        if told.create and not os.path.lexists(keys):
            create_broker_directory(keys, EMPTY)  # 2
        with BrokerDirectory(keys) as directory:
            if not told.socket:
                sys.stdout.write(f"{directory.key.public}\n")
                return 0
            return asyncio.run(_serve(told, directory))
    except TaskboundError as error:
        say_failed(told.ready_fd, tell_failure(error))
        return 4


async def _serve(told: argparse.Namespace, directory: BrokerDirectory) -> int:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if told.lifeline:
        await loop.connect_read_pipe(lambda: Lifeline(over.set), sys.stdin)  # 5
    store = open_reader(told.database, told.store)  # 3
    work: Work | None = None

    def push(namespace: str, target: str, *, sweep: bool) -> None:
        if work is not None:
            work.push(namespace, target, sweep=sweep)

    def want(namespace: str, target: str, look: str) -> None:
        if work is not None:
            work.discoveries.want(namespace, target, look)

    clock = SystemClock(store.last_instant())
    memory = Memory(directory, store, clock)
    authority = DaemonAuthority(loop, _connecting(Path(told.daemon)), push, want)
    work = Work(
        WorkerDependencies(
            store=store,
            watch=Watch(clock=clock, elapsed=elapsed),
            authority=authority,
            targets=Targets(
                directory.key,
                _plugs(),
                seeing={"openbao": _openbao},
                store=store,
            ),
            memory=memory,
            keeping=HandleVault(directory.key, memory),
            proves=_Proves(),
            hand=hand,
        )
    )
    path = Path(told.socket)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await loop.create_unix_server(
            lambda: BrokerSocket(directory.key.public), str(path), backlog=_BACKLOG
        )
    finally:
        os.umask(before)
    if told.group is not None:
        open_to_group(path, told.group)
    work.start()
    say_ready(told.ready_fd)
    await over.wait()
    server.close()
    await asyncio.to_thread(work.stop, patience=_LAST)
    authority.close()
    with contextlib.suppress(FileNotFoundError):
        await asyncio.to_thread(path.unlink)
    return 0


def _plugs() -> dict[str, Plug]:
    return {
        "github": _github,
        "oauth": _oauth,
        "openssh": _openssh,
        "postgres": _postgres,
        "redis": _redis,
        "sts": _sts,
    }


def _github(file: TargetFile, access: AdminAccess) -> Target[Any]:
    from taskbound.adapters.targets.github import GithubTarget  # noqa: PLC0415 -- as said above

    if not isinstance(file.place, GithubPlace) or not isinstance(access, GithubAccess):
        raise UnknownKindError(f"`{file.name}` is no App of GitHub's")
    return GithubTarget(file.place, access)


def _oauth(file: TargetFile, access: AdminAccess) -> Target[Any]:
    from taskbound.adapters.targets.oauth import OauthTarget  # noqa: PLC0415 -- as said above
    from taskbound.wiring.authorizing import AuthorizationServer  # noqa: PLC0415 -- as said above

    if not isinstance(file.place, OauthPlace) or not isinstance(access, OauthAccess):
        raise UnknownKindError(f"`{file.name}` is no authorization server")

    return OauthTarget(file.place, access, AuthorizationServer())


def _openbao(file: TargetFile, access: AdminAccess, beside: Beside) -> Target[Any]:
    from taskbound.adapters.targets.openbao import OpenbaoTarget  # noqa: PLC0415 -- as said above

    place = file.place
    if not isinstance(place, OpenbaoPlace) or not isinstance(access, OpenbaoAccess):
        raise UnknownKindError(f"`{file.name}` is no OpenBao")
    kinds = [one.grants for one in file.credentials if isinstance(one.grants, OpenbaoKind)]
    return OpenbaoTarget(place, access, kinds, partial(beside, place.seen_in) if place.seen_in else None)


def _openssh(file: TargetFile, access: AdminAccess) -> Target[Any]:
    from taskbound.adapters.targets.openssh import OpensshTarget  # noqa: PLC0415 -- as said above

    if not isinstance(file.place, OpensshPlace) or not isinstance(access, OpensshAccess):
        raise UnknownKindError(f"`{file.name}` is no host")
    program = shutil.which("ssh")
    if program is None:
        raise DriverMissingError(
            "the broker has no `ssh`, which it comes to hosts by",
            remedy="install OpenSSH's client where the broker runs (`openssh-client`, `openssh-clients`)",
        )
    return OpensshTarget(file.place, access, program)


def _postgres(file: TargetFile, access: AdminAccess) -> Target[Any]:
    try:
        from taskbound.adapters.targets.postgres import (  # noqa: PLC0415 -- as said above
            PostgresAdmin,
            PostgresTarget,
        )
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "psycopg":
            raise
        raise _lacking("driver for databases", "postgres") from error
    if not isinstance(file.place, PostgresPlace) or not isinstance(access, PostgresAccess):
        raise UnknownKindError(f"`{file.name}` is no database")
    return PostgresTarget(file.place, PostgresAdmin(user=access.user, password=access.password))


def _redis(file: TargetFile, access: AdminAccess) -> Target[Any]:
    from taskbound.adapters.targets.redis import RedisTarget  # noqa: PLC0415 -- as said above

    if not isinstance(file.place, RedisPlace) or not isinstance(access, RedisAccess):
        raise UnknownKindError(f"`{file.name}` is no Redis")
    return RedisTarget(file.place, access)


def _sts(file: TargetFile, access: AdminAccess) -> Target[Any]:
    try:
        from taskbound.adapters.targets.sts import StsTarget  # noqa: PLC0415 -- as said above
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "botocore":
            raise
        raise _lacking("client of AWS", "aws") from error
    kinds = [one.grants for one in file.credentials if isinstance(one.grants, StsKind)]
    if not isinstance(file.place, StsPlace) or not isinstance(access, StsAccess):
        raise UnknownKindError(f"`{file.name}` is no account of AWS")
    return StsTarget(file.place, access, kinds)


def _lacking(what: str, extra: str) -> DriverMissingError:
    """Returns the error that fails the target's test; only its text is kept."""
    from taskbound.surfaces.cli.extras import how_to_install  # noqa: PLC0415 -- only where something is missing

    return DriverMissingError(f"the broker has no {what}: `{how_to_install(extra)}`")


def _connecting(path: Path) -> Connect:
    async def connected(
        namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> AsyncClient:
        hello = Open(role="broker", version=__version__, namespace=namespace)
        client, _ = await AsyncClient.connect(path, hello, pushed=pushed, lost=lost)
        return client

    return connected


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-broker", description=__doc__)
    add = parser.add_argument
    add("--keys", required=True, help="the directory of the key, 0700")
    add(
        "--socket",
        default="",
        help="where to listen, in a folder that only this account can write; without it: print the public"
        " key, and end",
    )
    add("--daemon", default="", help="where the daemon listens")
    add("--database", default="", help="the daemon's SQLite file, which is read and never written")
    add("--store", default="", help="a PostgreSQL database, without a password, as a role that reads it")
    add("--group", type=parse_group, help="a group that may reach the socket (mode 0660), by name or gid")
    add("--create", action="store_true", help="create the key if it is missing")
    add(
        "--lifeline",
        action="store_true",
        help="exit when standard input closes",
    )
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    add("--ready-fd", type=int, default=-1, help="where to write `ready`, or why not")
    told = parser.parse_args(arguments)
    if told.socket and not told.daemon:
        parser.error("--socket needs --daemon: whom to ask before anything is done")
    return told


if __name__ == "__main__":
    sys.exit(main())
