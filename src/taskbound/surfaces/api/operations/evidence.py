"""Operations on issuers of evidence, and the rows that show evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from taskbound.core.task import Disowned, Lapsed, Proven, Stated, evidence_names, evidence_text
from taskbound.flows.task import add_issuer, drop_issuer
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import task as wire
from taskbound.wire.connection import Done
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from taskbound.core.task import Evidence, Verdict
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


@operation(wire.AddIssuer)
async def _put_issuer(daemon: Daemon, connection: Connection, ask: wire.AddIssuer) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        add_issuer(
            daemon.means,
            connection.namespace,
            ask.name,
            issuer=ask.issuer,
            audience=ask.audience,
            keys=ask.keys.encode(),
            actor=actor,
            owns=owns,
        )

    await daemon.first(work)
    return Done()


@operation(wire.RemoveIssuer)
async def _remove_issuer(daemon: Daemon, connection: Connection, ask: wire.RemoveIssuer) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_issuer(daemon.means, connection.namespace, ask.name, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


@operation(wire.ListIssuers)
async def _list_issuers(daemon: Daemon, connection: Connection, _ask: wire.ListIssuers) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.identities.issuers(connection.namespace)
        rows = tuple(
            wire.IssuerRow(
                name=one.name,
                issuer=one.issuer,
                audience=one.audience,
                keys=tuple(
                    f"{key.kid} {key.algorithm.value} {key.thumbprint}" for key in parse_jwks(one.keys)
                ),
            )
            for one in found
        )
        return wire.IssuerRows(rows=rows)

    return await daemon.read(read)


def evidence_row(evidence: Evidence, verdict: Verdict) -> wire.EvidenceRow:
    """Returns one piece of a task's evidence."""
    until, reason = 0, ""
    match verdict:
        case Stated():
            word = "stated"
        case Proven(until=until):
            word = "proven"
        case Lapsed(since=until):
            word = "lapsed"
        case Disowned(reason=reason):
            word = "disowned"
        case _:
            assert_never(verdict)
    return wire.EvidenceRow(
        text=evidence_text(evidence),
        names=evidence_names(evidence),
        verdict=word,
        until=until,
        reason=reason,
    )
