"""The daemon process: owns a data directory, decides, records, and has the log signed.

1. One daemon owns a directory and holds `run/daemon.lock` while it lives. A holder that doesn't answer is
   starting or ending (a fork of a killed daemon can hold the lock for a moment) and is waited for.
2. It answers only once the store is open, its first record is durable, and the settling of permits of an
   earlier process has begun.
3. Without `--signer` it starts and restarts a signer under the same user; with it, another account runs the
   signer. `--egress` and `--broker` work the same way.
4. After a store failure (I/O error, damage) this process stops using the store: it answers waiting requests
   with the failure, logs it and exits with status 5. A supervisor or the next client starts a new daemon.
5. Shutdown is bounded: unfinished work is left as after a kill, and the next daemon continues. Children that
   are still starting end at once.
6. With a group socket, an account that is not a person speaks as gateway only for the agents that `--gateway`
   assigns to it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.json import encode

from taskbound import __version__
from taskbound.adapters.approval.apart import ApartOperands
from taskbound.adapters.approval.disk import DiskOperands
from taskbound.adapters.clock.system import SystemChance, SystemClock, elapsed
from taskbound.adapters.keys.socket import SocketCustody, SocketSigner, SocketTokenSigner
from taskbound.adapters.monitor.local import LocalMonitor
from taskbound.adapters.policy.cedar import ApartLanguage, base_bundle
from taskbound.core.decision import Allowance
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import parse_trust_domain
from taskbound.flows.audit.sequencing import LogFreshness, Sequencer, open_writer
from taskbound.flows.credential import open_mark
from taskbound.flows.means import Adapters
from taskbound.flows.policy import Policies
from taskbound.flows.token import Descriptions
from taskbound.surfaces.api.server.daemon import Daemon
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY, DEFAULT_ISSUER, Installation
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.surfaces.api.server.tracing import trace_here
from taskbound.wiring.accounts import open_to_group, parse_account, parse_gateway, parse_group
from taskbound.wiring.address import parse_hosts, parse_origin
from taskbound.wiring.child import ApiChild, BrokerChild, EgressChild, SignerChild
from taskbound.wiring.database import place_database
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.home import (
    find_socket,
    place_socket,
    remove_own,
    require_own_home,
    require_socket_folder,
)
from taskbound.wiring.keeping import Keeping
from taskbound.wiring.log import open_log
from taskbound.wiring.ready import say_failed, say_ready
from taskbound.wiring.rounds import Rounds
from taskbound.wiring.seen import open_believed
from taskbound.wiring.spans import open_spans
from taskbound.wiring.start import answers, listener, serve_command
from taskbound.wiring.trusting import Trusting
from taskbound.wiring.verifiers import (
    LaterDocuments,
    LaterOidc,
    LaterParty,
    LaterSignatures,
    LaterSvids,
    LaterTokens,
)

if TYPE_CHECKING:
    from taskbound.wiring.store import OpenedStore


_log = logging.getLogger(__name__)
BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel takes as many as `net.core.somaxconn` allows."""
_STORE_FAILED: Final = 5
_PATIENCE: Final = 10.0
"""Seconds that a holder of the lock may take to answer, or to end."""
_PAUSE: Final = 0.02
_LAST_ANSWERS: Final = 1.0
"""Seconds that answers may take once the store has failed."""
END: Final = 20.0
"""Seconds that the end may take in all (rule 5)."""
DESCRIPTORS: Final = 16_384
"""Open files that this process asks for: more than a few accounts can use up (`connection.MOST`)."""


class HomeInUseError(UnavailableError):
    """Another daemon owns this data directory."""

    code = "home-in-use"
    remedy = "there is one daemon for a data directory: use that one, or end it (`taskbound serve --end`)"


class UnwritableHomeError(UnavailableError):
    """The data directory can't be written, for example on a disk remounted read-only after errors."""

    code = "data-directory-unwritable"
    remedy = "see in the system's log why, have its file system writable, and start the daemon again"


def main(arguments: list[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 5 if the store failed, else a command's error status."""
    told = _read_arguments(arguments)
    open_log("daemon", told.log_level, trace=trace_here)
    os.umask(0o077)
    _raise_limit()
    try:
        return asyncio.run(_serve(Path(told.home), told))
    except TaskboundError as error:
        from taskbound.surfaces.cli.errors import status_of  # noqa: PLC0415 -- a daemon that serves needs none of it

        tell_failure(error)
        say_failed(told.ready_fd, encode(fault_of(error)).decode())
        return status_of(error)


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-daemon", description=__doc__)
    add = parser.add_argument
    add("--home", required=True, help="the data directory, absolute")
    add("--ready-fd", type=int, default=-1, help="where to write `ready` once it answers")
    add("--socket", default="", help="where to listen, in a folder that no other account can write")
    add("--signer", default="", help="socket of a signer that is not this daemon's own")
    add("--origin", default="", help="the log's name; the same as the signer's")
    add("--egress", type=parse_account, help="the account of an egress that is not this daemon's own")
    add("--broker", type=parse_account, help="the account of a broker that is not this daemon's own")
    add("--api", type=parse_account, help="the account of an API that is not this daemon's own")
    add("--front", type=parse_account, help="the account of the gateway over HTTP that others run")
    add("--issuer", default=DEFAULT_ISSUER, help="its name as an issuer of tokens, such as the API's origin")
    add("--gateway-origin", default=DEFAULT_GATEWAY, help="how the gateway over HTTP is known outside")
    add("--private-clients", default="", help="hosts whose clients' documents may be at private addresses")
    add("--api-word", action="append", default=[], help="arguments of this daemon's own API")
    add("--group", type=parse_group, help="a group that may connect (mode 0660), by name or gid")
    add(
        "--gateway",
        type=parse_gateway,
        action="append",
        default=[],
        metavar="ACCOUNT=[NAMESPACE/]AGENT",
        help="an account, by name or uid, that may run the gateway of an agent; can be given several times",
    )
    add("--refusals-burst", type=int, default=Allowance().burst, help="refusals of an agent recorded at once")
    add("--refusals-rate", type=int, default=Allowance().rate, help="and then so many more a second")
    add("--asks-burst", type=int, default=200, help="requests of one principal over the network at once")
    add("--asks-rate", type=int, default=100, help="and then so many more a second")
    add("--traces", default="", help="where spans are sent by OTLP/HTTP, http://HOST:PORT")
    add("--trust-domain", default="", help="for whom transaction tokens are; the issuer's host, if not given")
    add("--store", default="", help="a PostgreSQL database, without a password; SQLite when it is left out")
    add("--database", default="", help="the SQLite file, absolute; in the data directory when it is left out")
    add(
        "--readers",
        type=parse_group,
        help="a group that may read that file, by name or gid: the signer's, whose account is another; its"
        " folder belongs to that group then, with mode 2750",
    )
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    told = parser.parse_args(arguments)
    if told.refusals_burst < 1 or told.refusals_rate < 1:
        parser.error("--refusals-burst and --refusals-rate are 1 at least")
    if told.asks_burst < 1 or told.asks_rate < 1:
        parser.error("--asks-burst and --asks-rate are 1 at least")
    if told.signer and not told.origin:
        parser.error("--signer needs --origin: the name of the log that the signer was given")
    if told.store and told.database:
        parser.error("--database is for SQLite, and --store is another database")
    if told.readers is not None and not told.database:
        parser.error("--readers needs --database: no other account may enter the data directory")
    if told.group is not None and not told.socket:
        parser.error("--group needs --socket: no other account may enter the data directory")
    return told


def hold_home(home: Path, socket: Path) -> int:
    """Takes the directory's lock until the process ends (rule 1); returns the descriptor that holds it."""
    require_own_home(home)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        (home / "run").mkdir(mode=0o700, exist_ok=True)
        held = os.open(home / "run" / "daemon.lock", flags, 0o600)
    except OSError as error:
        raise UnwritableHomeError(f"`{home}` can't be written: {error.strerror}") from error
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if answers(socket) or time.monotonic() > end:
                os.close(held)
                raise _in_use(home, listener(socket)) from error
            time.sleep(_PAUSE)
        else:
            return held


def _in_use(home: Path, pid: int) -> HomeInUseError:
    if not pid:
        return HomeInUseError(f"another daemon owns `{home}`")
    return HomeInUseError(
        f"another daemon owns `{home}` (process {pid})",
        remedy=f"use that one, or end it first: `{serve_command(home)} --end`",
    )


def read_origin(home: Path, told: str) -> str:
    """Returns the log's name: as given, or created once and kept in `log-origin`."""
    if told:
        return told
    kept = home / "log-origin"
    try:
        return kept.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        origin = f"taskbound.local/{SystemChance().name('log')}"
        fresh = home / "log-origin.new"
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{origin}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(kept)
        return origin


async def _serve(home: Path, told: argparse.Namespace) -> int:
    held = hold_home(home, Path(told.socket) if told.socket else find_socket(home))
    socket_path = _choose_socket(home, told.socket)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    origin, database = read_origin(home, told.origin), place_database(home, told.database, told.readers)

    def fail() -> None:
        loop.call_soon_threadsafe(ended.set)  # 4

    store, seen = open_believed(home, database, told.store, failed=fail)
    chance = SystemChance()
    adapters = Adapters(
        store=store,
        clock=SystemClock(store.last_instant()),
        chance=chance,
        policy=Policies(store, ApartLanguage(), base_bundle()),
        monitor=LocalMonitor(),
        signatures=LaterSignatures(),
        svids=LaterSvids(),
        tokens=LaterTokens(),
        operands=DiskOperands(closed=[home, database.parent]),
        far=ApartOperands(closed=[home, database.parent]),
        freshness=LogFreshness(elapsed),
        writer=chance.name("wrt"),
    )
    store.agree(adapters.policy.base.bundle)
    child, place = _signer_beside(home, told, origin, store, database)
    signer, token_signer, custody = SocketSigner(place), SocketTokenSigner(place), SocketCustody(place)
    sequencer = Sequencer(adapters, signer, origin)
    verifiers, party = {WorkloadKind.OIDC: LaterOidc(store, adapters.tokens)}, LaterParty(adapters.tokens)
    daemon = Daemon(adapters, sequencer, token_signer, loop, _place(home, told), custody, verifiers, party)
    _begin(daemon, told)
    beside = _keep_beside(home, socket_path, told, daemon, _where(told, database))
    rounds = Rounds(daemon, signer, origin, child, store, seen)
    daemon.begin()
    daemon.worker.start()
    await rounds.start()
    server = await _listen(loop, daemon, socket_path, group=told.group)
    inode = socket_path.stat().st_ino
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    _log.info("ready: %s, %s", socket_path, store.describe())
    say_ready(told.ready_fd)
    try:
        await ended.wait()
    finally:
        _end_by(END, status=_status(store))
        server.close()
        for one in beside:
            one.leave()
        await _stop(daemon, rounds, store)
        remove_own(socket_path, inode)
        signer.close()
        token_signer.close()
        for each in (child, *beside):
            if each is not None:
                each.stop()
        store.close()
        os.close(held)
    return _status(store)


def _signer_beside(
    home: Path, told: argparse.Namespace, origin: str, store: OpenedStore, database: Path
) -> tuple[SignerChild | None, Path]:
    if told.signer:
        return None, Path(told.signer)
    with store.read() as snapshot:
        signed = snapshot.audit.checkpoint() is not None
    words = ("--issuer", _issuer(told), *_where(told, database))
    child = SignerChild(home, origin, create=not signed, words=words)
    return child, child.socket


def _where(told: argparse.Namespace, database: Path) -> tuple[str, str]:
    return ("--store", told.store) if told.store else ("--database", str(database))


def _keep_beside(
    home: Path, socket: Path, told: argparse.Namespace, daemon: Daemon, where: tuple[str, str]
) -> list[Keeping | Trusting]:
    found: list[Keeping | Trusting] = [Trusting(daemon.adapters, daemon.trusts)]
    if told.egress is None:
        found.append(Keeping(EgressChild(home, socket, level=told.log_level), daemon.egress_wanted))
    if told.broker is None:
        with daemon.adapters.store.read() as snapshot:
            if snapshot.targets.all_targets():
                daemon.broker_wanted.set()
        child = BrokerChild(home, socket, words=where, level=told.log_level)
        found.append(Keeping(child, daemon.broker_wanted))
    if told.api_word and told.api is None:
        wanted = threading.Event()
        wanted.set()
        found.append(Keeping(ApiChild(home, socket, words=told.api_word, level=told.log_level), wanted))
    for one in found:
        one.start()
    return found


def _status(store: OpenedStore) -> int:
    return 0 if store.failure is None else _STORE_FAILED


def _end_by(seconds: float, *, status: int) -> None:
    """Exits with this status after the given time, whatever is still running (rule 5)."""

    def give_up() -> None:
        _log.error("the end took more than %g seconds: what is not done is left to the next daemon", seconds)
        os._exit(status)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _issuer(told: argparse.Namespace) -> str:
    return parse_origin(told.issuer, secured=False, where="--issuer")


def _place(home: Path, told: argparse.Namespace) -> Installation:
    return Installation(
        home=str(home),
        pid=os.getpid(),
        owner_uid=os.geteuid(),
        gateways=frozenset(told.gateway),
        trust_domain=parse_trust_domain(told.trust_domain) if told.trust_domain else "",
        allowance=Allowance(burst=told.refusals_burst, rate=told.refusals_rate),
        pace=Allowance(burst=told.asks_burst, rate=told.asks_rate),
        egress=told.egress,
        broker=told.broker,
        api=told.api,
        front=told.front,
        issuer=_issuer(told),
        gateway_origin=parse_origin(told.gateway_origin, secured=False, where="--gateway-origin"),
    )


def _begin(daemon: Daemon, told: argparse.Namespace) -> None:
    hosts = parse_hosts(told.private_clients, where="--private-clients")
    daemon.network.descriptions = Descriptions(LaterDocuments(), daemon.adapters.clock, private=hosts)
    spans = open_spans(told.traces, service="taskbound-daemon")
    if spans is not None:
        daemon.network.tracing.take, daemon.network.tracing.close = spans.take, spans.close
    software = f"taskbound {__version__}"
    open_writer(daemon.adapters, software=software)
    open_mark(daemon.adapters)
    for namespace, why in daemon.bundles.rebase(software):
        _log.warning("in namespace %r the policy bundle in force keeps the base it has: %s", namespace, why)


async def _stop(daemon: Daemon, rounds: Rounds, store: OpenedStore) -> None:
    daemon.pages.close()
    daemon.looking.close()
    try:
        await daemon.first(lambda: daemon.refusals.tell(final=True))
        await daemon.first(lambda: daemon.proofs.tell(final=True))
    except TaskboundError as error:
        _log.warning("what was refused beyond an allowance is not recorded: %s", error.message)
    await asyncio.to_thread(rounds.stop)
    await asyncio.to_thread(daemon.worker.stop)
    await asyncio.to_thread(daemon.network.tracing.close)
    if store.failure is not None:
        await _tell(store.failure)


async def _tell(failure: UnavailableError) -> None:
    _log.error(
        "the store failed, and this process ends: %s [%s]; %s", failure.message, failure.code, failure.advice
    )
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    if waiting:
        await asyncio.wait(waiting, timeout=_LAST_ANSWERS)


def _raise_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # where the system has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _choose_socket(home: Path, told: str) -> Path:
    """Returns the socket path; raises HomeInUseError if another daemon listens there."""
    if not told:
        return place_socket(home)
    path = Path(told)
    require_socket_folder(path)
    if answers(path):
        raise HomeInUseError(f"another daemon listens at `{path}`")
    return path


async def _listen(
    loop: asyncio.AbstractEventLoop, daemon: Daemon, path: Path, *, group: int | None
) -> asyncio.AbstractServer:
    await asyncio.to_thread(path.unlink, missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await loop.create_unix_server(lambda: SocketServer(daemon), str(path), backlog=BACKLOG)
    finally:
        os.umask(before)
    if group is not None:
        open_to_group(path, group)
    return server


if __name__ == "__main__":
    sys.exit(main())
