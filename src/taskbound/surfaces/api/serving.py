"""What processes that listen to a network ask in their own name, before they serve anybody.

1. How one is known outside is said twice: to it, and to the daemon, which issues tokens for that name and
   compares what is made for it, letter by letter. Where the two differ neither serves.
2. Which authorities TLS asks clients for is every one of every trust domain that is believed in any
   namespace, also where its bundle is too old to count: TLS shows who holds a key, and the daemon says what
   that proves, with a name and a record where it proves nothing. Other files beside them are the process's.
3. So many authorities are told at most. What is left out is said. Who stands before gateways asks for them
   too: tokens are bound to certificates there as well.
4. What one refused by itself leaves a record: a code and an operation of ours, and how many. It is believed
   about that much, and proves nobody. These records share the allowance of whoever is nobody
   (`flows.decision.refusals`, rule 3): strangers fill no journal, and what is beyond is counted there.
5. What the API tells whoever counts (`/metrics`) is how many credentials live and end, of all namespaces
   together: numbers, and no name of anything.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import RequestRefused
from taskbound.core.decision import TooManyRefusalsError
from taskbound.core.errors import MalformedError, error_class
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.credential.naming import count_credentials
from taskbound.surfaces.api.fronts import require_front
from taskbound.surfaces.api.network import require_api
from taskbound.wire import network as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)
_NAMES: Final = frozenset(OPERATIONS)
_TIMES: Final = 10**9
_MOST: Final = 1_024
"""Authorities that are told (rule 3)."""
_LONGEST: Final = 2_097_152
"""Bytes of all of them: half of what a frame may hold."""


async def agree(daemon: Daemon, connection: Connection, ask: wire.Agree) -> Answer:
    """Go on only where both have one name for it (rule 1).

    Raises:
        UnprovenError: It is asked by somebody else than the process that listens.
        OtherOriginError: They have two.
    """
    require_api(daemon, connection)
    ours = daemon.network.issuer
    if ours != ask.origin:
        _log.error("an API is known outside as %.200r, here as %r, and serves nobody", ask.origin, ours)
        raise wire.OtherOriginError(f"it is known outside as `{ask.origin}`, and its daemon says `{ours}`")
    return Done()


async def note_refused(daemon: Daemon, connection: Connection, ask: wire.TellRefused) -> Answer:
    """One record of what the process refused (rule 4).

    Raises:
        UnprovenError: It is told by somebody else than a process that listens.
        MalformedError: It names no error or operation of ours.
    """
    _require_listener(daemon, connection)
    if error_class(ask.code) is None or (ask.operation and ask.operation not in _NAMES):
        raise MalformedError("what was refused names no error or operation of ours")
    if not 1 <= ask.times <= _TIMES:
        raise MalformedError("what was refused was so many times, which can't be")
    event = RequestRefused(surface=connection.role, code=ask.code, operation=ask.operation, times=ask.times)

    def work() -> None:
        means, space = daemon.means, connection.namespace
        try:
            daemon.refusals.require(space, "", code=ask.code, times=ask.times)
        except TooManyRefusalsError:
            return
        daemon.refusals.take(space, "")
        means.store.write(lambda tx: tx.audit.append(space, means.writer, [event], means.clock.now()))

    await daemon.first(work)
    return Done()


def _require_listener(daemon: Daemon, connection: Connection) -> None:
    if connection.role == "front":
        require_front(daemon, connection)
    else:
        require_api(daemon, connection)


async def show_authorities(daemon: Daemon, connection: Connection, ask: wire.ShowClientAuthorities) -> Answer:
    """Who issues the certificates of workloads (rules 2 and 3).

    Raises:
        UnprovenError: It is asked by somebody else than a process that listens.
    """
    _require_listener(daemon, connection)

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            trusts = snapshot.trusts.all_trusts()
        found = list(dict.fromkeys(one for trust in trusts for one in trust.known.x509))
        told: list[bytes] = []
        for one in found:
            if len(told) == _MOST or sum(map(len, told)) + len(one) > _LONGEST:
                _log.warning("%d authorities of trust domains are not told to TLS", len(found) - len(told))
                break
            told.append(one)
        mark = sha256(b"".join(sha256(one).digest() for one in told)).hexdigest()
        if mark == ask.known:
            return wire.ClientAuthorities(mark=mark)
        return wire.ClientAuthorities(
            mark=mark, certificates=tuple(b64encode(one).decode("ascii") for one in told)
        )

    return await daemon.read(read)


async def show_counts(daemon: Daemon, connection: Connection, _ask: wire.ShowCounts) -> Answer:
    """How many credentials live and end (rule 5).

    Raises:
        UnprovenError: It is asked by somebody else than the API.
    """
    require_api(daemon, connection)
    brokers = daemon.connections.count_brokers()

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            spaces = sorted({one.namespace for one in snapshot.targets.all_targets()})
            now = daemon.means.clock.now()
            found = [count_credentials(snapshot, space, now) for space in spaces]
        return wire.Counted(
            brokers=brokers,
            living=sum(one.living for one in found),
            revoking=sum(one.revoking for one in found),
            overdue=sum(one.overdue for one in found),
            oldest=max((one.oldest for one in found), default=0),
        )

    return await daemon.read(read)
