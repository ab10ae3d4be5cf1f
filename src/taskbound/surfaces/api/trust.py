"""Operations on trust domains: whose word counts about workloads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.clock import seconds
from taskbound.core.identity.trust import BOUND, UnknownTrustError, parse_trust
from taskbound.flows.identity.trust import add_trust, remove_trust
from taskbound.wire import trust as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.trust import Trust
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def put_trust(daemon: Daemon, connection: Connection, ask: wire.AddTrust) -> Answer:
    """Believe a trust domain."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        trust = parse_trust(
            connection.namespace,
            ask.domain,
            source=ask.source,
            place=ask.place,
            endpoint=ask.endpoint,
            private=ask.private,
            bound=seconds(ask.bound) if ask.bound else BOUND,
        )
        add_trust(daemon.means, trust, bootstrap=ask.bundle.encode(), actor=actor, owns=owns)

    await daemon.first(work)
    daemon.trusts.look()
    return Done()


async def take_trust_away(daemon: Daemon, connection: Connection, ask: wire.RemoveTrust) -> Answer:
    """Believe it no more."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        remove_trust(daemon.means, connection.namespace, ask.domain, actor=actor, owns=owns)

    await daemon.first(work)
    daemon.trusts.look()
    return Done()


async def list_trusts(daemon: Daemon, connection: Connection, _ask: wire.ListTrusts) -> Answer:
    """Which are believed."""

    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            found = snapshot.trusts.trusts(connection.namespace)
        return wire.TrustRows(rows=tuple(_row(daemon, one, now) for one in found))

    return await daemon.read(read)


async def show_trust(daemon: Daemon, connection: Connection, ask: wire.ShowTrust) -> Answer:
    """One of them, with its authorities."""

    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            found = snapshot.trusts.trust(connection.namespace, ask.domain)
        if found is None:
            raise UnknownTrustError("the trust domain is not believed here")
        known = found.known
        return wire.TrustDetail(
            row=_row(daemon, found, now),
            digest=known.digest,
            certificates=tuple(hashlib.sha256(one).hexdigest() for one in known.x509),
            keys=tuple(str(parse_object(one)["kid"]) for one in known.jwt),
        )

    return await daemon.read(read)


def _row(daemon: Daemon, trust: Trust, now: Instant) -> wire.TrustRow:
    known = trust.known
    return wire.TrustRow(
        domain=trust.domain,
        source=trust.source.value,
        place=trust.place,
        endpoint=trust.endpoint,
        private=trust.private,
        bound=trust.bound // seconds(1),
        every=trust.every // seconds(1),
        confirmed=trust.confirmed,
        stale=trust.stale(now),
        sequence=known.sequence,
        x509=len(known.x509),
        jwt=len(known.jwt),
        trouble=daemon.trusts.trouble(trust.namespace, trust.domain),
    )
