"""Operations that listening processes call in their own name.

1. The external origin is configured twice, for the process and for the daemon, which issues tokens for it and
   compares it byte by byte. If they differ, neither serves.
2. TLS asks clients for certificates of all authorities of all trust domains of any namespace, even of an
   expired bundle: TLS proves possession of a key, and the daemon decides what it is worth, with a record.
   Other files are the process's own.
3. The number of authorities is limited, and the number left out is reported. HTTP fronts ask for them too,
   since tokens are bound to certificates there as well.
4. A refusal by the process itself leaves a record: an error code, an operation, and a count. Nothing else is
   taken from it. These records share the quota of unknown names (`flows.decision.refusals`, rule 3), so
   strangers cannot fill the journal.
5. The API exports (`/metrics`) only the number of live and ended credentials of all namespaces together.
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
from taskbound.surfaces.api.auth.fronts import require_front
from taskbound.surfaces.api.auth.network import require_api
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import network as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)
_NAMES: Final = frozenset(OPERATIONS)
_TIMES: Final = 10**9
_MOST: Final = 1_024
"""The maximum of authorities (rule 3)."""
_LONGEST: Final = 2_097_152
"""Bytes of all of them: half of what a frame may hold."""


@operation(wire.Agree)
async def _agree(daemon: Daemon, connection: Connection, ask: wire.Agree) -> Answer:
    """Raises OtherOriginError if the two origins differ (rule 1), UnprovenError for other callers."""
    require_api(daemon, connection)
    ours = daemon.network.issuer
    if ours != ask.origin:
        _log.error(
            "refused an API with the external origin %.200r; the daemon has %r",
            ask.origin,
            ours,
        )
        raise wire.OtherOriginError(f"it is known outside as `{ask.origin}`, and its daemon says `{ours}`")
    return Done()


@operation(wire.TellRefused)
async def _note_refused(daemon: Daemon, connection: Connection, ask: wire.TellRefused) -> Answer:
    _require_listener(daemon, connection)
    if error_class(ask.code) is None or (ask.operation and ask.operation not in _NAMES):
        raise MalformedError("what was refused names no error or operation of ours")
    if not 1 <= ask.times <= _TIMES:
        raise MalformedError("what was refused was so many times, which can't be")
    event = RequestRefused(surface=connection.role, code=ask.code, operation=ask.operation, times=ask.times)

    def work() -> None:
        adapters, space = daemon.adapters, connection.namespace
        try:
            daemon.refusals.require(space, "", code=ask.code, times=ask.times)
        except TooManyRefusalsError:
            return
        daemon.refusals.take(space, "")
        adapters.store.write(
            lambda tx: tx.audit.append(space, adapters.writer, [event], adapters.clock.now())
        )

    await daemon.first(work)
    return Done()


def _require_listener(daemon: Daemon, connection: Connection) -> None:
    if connection.role == "front":
        require_front(daemon, connection)
    else:
        require_api(daemon, connection)


@operation(wire.ShowClientAuthorities)
async def _authorities(daemon: Daemon, connection: Connection, ask: wire.ShowClientAuthorities) -> Answer:
    _require_listener(daemon, connection)

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
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


@operation(wire.ShowCounts)
async def _show_counts(daemon: Daemon, connection: Connection, _ask: wire.ShowCounts) -> Answer:
    require_api(daemon, connection)
    brokers = daemon.connections.count_brokers()

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            spaces = sorted({one.namespace for one in snapshot.targets.all_targets()})
            now = daemon.adapters.clock.now()
            found = [count_credentials(snapshot, space, now) for space in spaces]
        return wire.Counted(
            brokers=brokers,
            living=sum(one.living for one in found),
            revoking=sum(one.revoking for one in found),
            overdue=sum(one.overdue for one in found),
            oldest=max((one.oldest for one in found), default=0),
        )

    return await daemon.read(read)
