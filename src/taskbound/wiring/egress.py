"""The egress process: opens sealed secrets and runs or connects to the servers that need them.

1. Where the system supports it, no other process can read its memory, not even one of the same account, and
   neither it nor its servers leave core dumps. A server's secrets are in that server's memory and
   `/proc/PID/environ`: protected from other accounts, not from programs of this account.
2. It creates a key only with `--create`.
3. It is a client of the daemon with its own right and trusts only the daemon.
4. A log line that contains a secret of a running server is suppressed.
5. Its servers end when it exits or its lifeline closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.keys.file import SealingDirectory, create_sealing_directory
from taskbound.adapters.keys.sealing import AskerKey
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.process import adopt_orphans
from taskbound.adapters.upstream.mcp.server import StdioStarter, fill
from taskbound.core.errors import TaskboundError
from taskbound.core.tool.slot import Leaks
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.api.server.peer import hold_peer, read_peer
from taskbound.surfaces.egress.asking import PendingRequests
from taskbound.surfaces.egress.authority import DaemonAuthority, Permits
from taskbound.surfaces.egress.serving import EgressSocket, EgressState
from taskbound.surfaces.egress.tokens import (
    Endings,
    LiveTokens,
    StartDependencies,
    TokenBackoff,
    TokenRegistry,
)
from taskbound.wire.connection import Open
from taskbound.wire.egress import Holder
from taskbound.wiring.accounts import open_to_group, parse_account, parse_group
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.hidden import hide
from taskbound.wiring.lifeline import Lifeline
from taskbound.wiring.log import open_log
from taskbound.wiring.ready import say_failed, say_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from socket import socket

    from taskbound.adapters.keys.sealing import SealingKey
    from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint
    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.ports.upstream import Upstream, UpstreamEvents
    from taskbound.surfaces.egress.authority import Connect
    from taskbound.surfaces.egress.tokens import ServerTokens
    from taskbound.wire.envelope import Push


_BACKLOG: Final = 128
_LAST: Final = 256
"""Tokens, and values of servers that are over, the last ones, that are looked for in the log."""
_WHOLE: Final = logging.Formatter()
"""All that a record can say: its words, and the tracebacks that go with them."""


def main(arguments: list[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 4 if it could not start."""
    told = _read_arguments(arguments)
    open_log("egress", told.log_level)
    os.umask(0o077)
    hide()
    keys = Path(told.keys)
    try:
        if told.create and not os.path.lexists(keys):
            create_sealing_directory(keys)  # 2
        with SealingDirectory(keys) as directory:
            if not told.socket:
                sys.stdout.write(f"{directory.key.public}\n")
                return 0
            return asyncio.run(_serve(told, directory.key))
    except TaskboundError as error:
        say_failed(told.ready_fd, tell_failure(error))
        return 4


async def _serve(told: argparse.Namespace, key: SealingKey) -> int:
    adopt_orphans()
    held = _Held()
    for handler in logging.getLogger().handlers:
        handler.addFilter(held)  # 4
    authority = DaemonAuthority(_connecting(Path(told.daemon)))
    starter, endings, asking = _Starter(), Endings(), PendingRequests(AskerKey.generate)
    house = EgressState(
        desk=StartDependencies(
            authority=authority,
            key=key,
            start=starter,
            permits=Permits(),
            tokens=TokenRegistry(
                issuer=_issuer,
                kept=held.keep_token,
                refusals=TokenBackoff(),
                known=LiveTokens(),
                endings=endings,
            ),
            kept=held.keep,
            asking=asking,
        ),
        look=_look,
        accounts=_accounts(told),
        idle=starter.sweep,
    )
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if told.lifeline:
        await loop.connect_read_pipe(lambda: Lifeline(over.set), sys.stdin)  # 5
    path = Path(told.socket)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await loop.create_unix_server(lambda: EgressSocket(house), str(path), backlog=_BACKLOG)
    finally:
        os.umask(before)
    if told.group is not None:
        open_to_group(path, told.group)
    say_ready(told.ready_fd)
    await over.wait()
    server.close()
    await house.close()
    await endings.close()
    await asking.close()
    authority.close()
    starter.sweep()
    with contextlib.suppress(FileNotFoundError):
        await asyncio.to_thread(path.unlink)
    return 0


class _Starter:
    def __init__(self) -> None:
        self._stdio = StdioStarter()
        self._http = HttpStarter()
        self.sweep = self._stdio.sweep

    async def __call__(
        self,
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        values: Mapping[Slot, str],
        offers: bytes,
        tokens: ServerTokens | None,
    ) -> Upstream:
        filling = fill(values, tokens)
        if identity.remote is None:
            return await self._stdio(identity, era=era, events=events, filling=filling, offers=offers)
        return await self._http(identity, era=era, events=events, filling=filling, offers=offers)


def _issuer(client: OAuthClient, secret: str) -> TokenEndpoint:
    from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint  # noqa: PLC0415 -- as said above

    return TokenEndpoint(client, secret, _sign)


def _sign(key: str, client: str, audience: str) -> str:
    from taskbound.adapters.keys.assertion import assertion  # noqa: PLC0415 -- as said above

    return assertion(key, client=client, audience=audience)


class _Held(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._values: dict[object, frozenset[str]] = {}
        """Of what runs."""
        self._over: deque[str] = deque(maxlen=_LAST)
        """Of what has ended: each start of a server may have new ones, and there is no end of starts."""
        self._tokens: deque[str] = deque(maxlen=_LAST)
        self._leaks = Leaks(())

    def keep(self, whose: object, values: frozenset[str]) -> None:
        before = self._values.pop(whose, frozenset())
        if values:
            self._values[whose] = values
        self._over.extend(sorted(before - values))
        self._look()

    def keep_token(self, token: str) -> None:
        self._tokens.append(token)
        self._look()

    def _look(self) -> None:
        self._leaks = Leaks(
            {one for some in (*self._values.values(), self._over, self._tokens) for one in some}
        )

    def filter(self, record: logging.LogRecord) -> bool:
        if self._leaks.found_in(_WHOLE.format(record)):
            record.msg, record.args = "a line was held back: it says a secret", ()
            record.exc_info = record.exc_text = record.stack_info = None
        return True


def _connecting(path: Path) -> Connect:
    async def connected(
        namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> AsyncClient:
        hello = Open(role="egress", version=__version__, namespace=namespace)
        client, _ = await AsyncClient.connect(path, hello, pushed=pushed, lost=lost)
        return client

    return connected


def _look(connection: socket) -> Holder:
    held = hold_peer(connection)
    try:
        proof = read_peer(connection, held).proof
    finally:
        os.close(held)
    return Holder(uid=proof.uid, pid=proof.pid, started=proof.started)


def _accounts(told: argparse.Namespace) -> frozenset[int] | None:
    if told.account or told.group is None:
        return frozenset(told.account or [os.geteuid()])
    return None


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-egress", description=__doc__)
    add = parser.add_argument
    add("--keys", required=True, help="the directory of the key, 0700")
    add(
        "--socket",
        default="",
        help="where to listen, in a folder that only this account can write; without it: print the public"
        " key, and end",
    )
    add("--daemon", default="", help="where the daemon listens")
    add(
        "--account",
        type=parse_account,
        action="append",
        help="an account that may ask, by name or uid; default: the group's, and without a group its own",
    )
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
        parser.error("--socket needs --daemon: whom to ask before anything is sent")
    return told


if __name__ == "__main__":
    sys.exit(main())
