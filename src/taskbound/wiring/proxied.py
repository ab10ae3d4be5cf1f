"""The guard process: tells nginx or Envoy whether a request may pass (`taskbound guard FILE`).

1. It listens only on a socket that its account and one group can use, or on the loopback: a caller can use up
   permits and learns what a request lacks.
2. It has the service's key, to follow the revocation feed and introspect tokens, and the service's claims, in
   a file or at the issuer. It reaches no store, signing key or daemon socket.
3. It answers as soon as it listens. Until the feed is fresh it introspects each token at the issuer; if
   neither is possible, every request is denied.
4. A signal or a closed lifeline ends it. Running checks are completed; a proxy that gets no answer denies.
5. The number of concurrent checks is bounded. Others wait, and are dropped if their proxy disconnects.
6. The guard of a Unix socket holds the lock beside it. Of several guards starting at once, one serves; none
   removes the socket of another live guard or of another program.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_rest
from taskbound.core.errors import MalformedError, TaskboundError, UnavailableError
from taskbound.sdk.verify.refused import MAX_BODY
from taskbound.surfaces.http.connection import Bounds, HttpConnection
from taskbound.surfaces.proxied.reading import ProtectedServices
from taskbound.surfaces.proxied.server import GuardServer
from taskbound.wiring.accounts import open_to_group, parse_group
from taskbound.wiring.address import format_address
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.guarding import guard
from taskbound.wiring.home import remove_own, require_socket_folder
from taskbound.wiring.lifeline import hold
from taskbound.wiring.listening import BACKLOG, listen_at
from taskbound.wiring.log import open_log
from taskbound.wiring.proxied_file import BadGuardFileError, read_file
from taskbound.wiring.ready import say_failed, say_ready
from taskbound.wiring.service import ServiceLink, read_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.adapters.keys.es256 import Es256Key
    from taskbound.wiring.proxied_file import GuardFile


_MALFORMED: Final = 2
_FAILED: Final = 4
_THREADS: Final = 16
"""Requests that are looked at at once (rule 5)."""
_IDLE: Final = 3_900.0
"""Seconds: longer than proxies keep a connection, or one that is closed meanwhile is a question not asked."""
_ALL: Final = Bounds()
_BOUNDS: Final = Bounds(
    body=MAX_BODY,
    idle=_IDLE,
    first=_IDLE,
    each=_ALL.connections,
    reserve=0,
    bodies_each=_ALL.bodies,
)
"""All connections are the proxy's, from one address and without a proof of its own."""


class GuardInUseError(UnavailableError):
    """Another guard or program listens at this socket."""

    code = "guard-in-use"
    remedy = "end the other one, or give this one a socket of its own"


class GuardNotStartedError(UnavailableError):
    """The system does not let the guard listen or read its files."""

    code = "guard-not-started"
    remedy = "look at the socket's folder, the address, and the file and folder of claims"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 2 for an invalid file, 4 if it could not start."""
    told = _read_arguments(arguments)
    open_log("guard", told.log_level)
    os.umask(0o077)
    try:
        file = read_file(Path(told.file))
        key, tls, group = _beside(file)
        if told.check:
            return _say(told, {"checked": told.file, **_shown(file)})
        return asyncio.run(_serve(told, file, key, tls, group))
    except (OSError, TaskboundError) as error:
        fault = error if isinstance(error, TaskboundError) else GuardNotStartedError(str(error))
        say_failed(told.ready_fd, _tell(fault, as_json=told.json))
        return _MALFORMED if isinstance(fault, MalformedError) else _FAILED


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound guard", description=__doc__)
    add = parser.add_argument
    add("file", help="what it stands before, in TOML: docs/guides/proxies.md")
    add("--check", action="store_true", help="read the file and what it names, say what is wrong, and end")
    add("--json", action="store_true", help="say what is said in JSON, one document a line")
    add(
        "--lifeline",
        action="store_true",
        help="exit when standard input closes",
    )
    add("--ready-fd", type=int, default=-1, help="where to write `ready`, or why not")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser.parse_args(arguments)


def _beside(file: GuardFile) -> tuple[Es256Key, ssl.SSLContext | None, int | None]:
    key = read_key(file.key)
    tls = group = None
    if file.authorities is not None:
        try:
            tls = ssl.create_default_context(cafile=file.authorities)
        except OSError as error:
            raise BadGuardFileError("the authorities can't be read", where="authorities") from error
    if file.group:
        try:
            group = parse_group(file.group)
        except argparse.ArgumentTypeError as error:
            raise BadGuardFileError(str(error), where="group") from error
    return key, tls, group


@contextmanager
def _listening(file: GuardFile, group: int | None) -> Iterator[socket.socket]:
    if isinstance(file.listen, tuple):
        with listen_at(*file.listen, backlog=BACKLOG) as found:
            yield found
        return
    path = file.listen
    require_socket_folder(path)
    with _turn(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as found:
        _take_place(path)
        before = os.umask(0o177)
        try:
            found.bind(str(path))
        finally:
            os.umask(before)
        inode = path.stat().st_ino
        try:
            if group is not None:
                open_to_group(path, group)
            found.listen(BACKLOG)
            yield found
        finally:
            remove_own(path, inode)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    held = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GuardInUseError(f"another guard is asked at `{path}`") from error
        yield
    finally:
        os.close(held)


def _take_place(path: Path) -> None:
    """Removes a stale socket; raises GuardInUseError if a process listens on it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(0)
        try:
            one.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except OSError as error:  # who is busy, or not to be reached by this account, is there
            raise GuardInUseError(
                f"`{path}` can't be used; another program owns it: {error.strerror}"
            ) from error
        else:
            raise GuardInUseError(f"another program is asked at `{path}`")
    if path.is_socket():
        path.unlink()


async def _serve(
    told: argparse.Namespace,
    file: GuardFile,
    key: Es256Key,
    tls: ssl.SSLContext | None,
    group: int | None,
) -> int:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)  # before there is something to take away
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "asked"))  # 5
    link = ServiceLink(issuer=file.issuer, name=file.name, key=key, namespace=file.namespace, tls=tls)
    with _listening(file, group) as listening:
        reader, follower = link.follow()
        try:
            verifier = guard(
                name=file.name,
                issuer=file.issuer,
                domain=file.domain,
                claims=link.claims() if file.claims is None else file.claims,
                holding=file.holding,
                namespace=file.namespace,
                status=reader,
                asking=link.asking(),
                tls=tls,
            )
            with closing(verifier):
                before = ProtectedServices(proxy=file.proxy, hosts=file.hosts, endpoints=file.endpoints)
                server = GuardServer(verifier, before, bounds=_BOUNDS)
                if told.lifeline:
                    await hold(over.set)  # 4
                asked = await loop.create_server(
                    lambda: HttpConnection(server), sock=listening, backlog=BACKLOG
                )
                _say(told, {"listening": _place(listening), **_shown(file)})
                say_ready(told.ready_fd)
                await over.wait()
                asked.close()
                await server.close()
        finally:
            follower.stop()
    return 0


def _place(listening: socket.socket) -> str:
    name = listening.getsockname()
    return name if isinstance(name, str) else format_address(*name[:2])


def _shown(file: GuardFile) -> dict[str, object]:
    return {
        "proxy": file.proxy.value,
        "hosts": sorted(file.hosts),
        "endpoints": dict(file.tools),
        "public": list(file.public),
        "claims": "shared" if file.claims is None else str(file.claims),
        "holding": file.holding if isinstance(file.holding, str) else "holders",
    }


def _say(told: argparse.Namespace, document: dict[str, object]) -> int:
    lines = (
        [json.dumps(document)]
        if told.json
        else [
            escape_rest(f"{name} {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}")
            for name, one in document.items()
        ]
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    return 0


def _tell(error: TaskboundError, *, as_json: bool) -> str:
    if not as_json:
        return tell_failure(error)
    document = {"code": error.code, "message": error.message, "where": error.where, "advice": error.advice}
    sys.stderr.write(json.dumps(document) + "\n")
    return error.message


if __name__ == "__main__":
    sys.exit(main())
