"""Operations on targets, in which credentials are minted.

1. What nothing ends before its time is what a target left to its own end, and where its file says that it can
   end nothing, all that may be there. More than are counted last as long as the longest that could be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskbound.core.action import canonical, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import LIVE, MAY_EXIST, CredentialState, end_in_target, last_use
from taskbound.core.target import kind_definition, parse_target_file
from taskbound.core.tool import join_tool_name
from taskbound.core.tool.name import shown
from taskbound.flows.target import UnknownTargetError
from taskbound.flows.target.people import answering
from taskbound.wire import target as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.target import UnderTest
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_COUNTED = 1_000
"""How many credentials of a target are counted for a list."""


async def add_target(daemon: Daemon, connection: Connection, ask: wire.AddTarget) -> Answer:
    """Declare a target, and begin its first test."""

    def work() -> UnderTest:
        actor, owns = daemon.require_giver(connection)
        return daemon.targets.add(connection.namespace, bytes(ask.file), ask.sealed, actor, owns=owns)

    return _begun(daemon, connection, await daemon.first(work))


async def test_target(daemon: Daemon, connection: Connection, ask: wire.TestTarget) -> Answer:
    """Begin another test of a target."""
    return _begun(
        daemon,
        connection,
        await daemon.first(
            lambda: daemon.targets.test(connection.namespace, ask.name, daemon.require_person(connection))
        ),
    )


async def set_admin(daemon: Daemon, connection: Connection, ask: wire.SetAdmin) -> Answer:
    """Keep another admin access of a target, and begin a test of it."""

    def work() -> UnderTest:
        actor, owns = daemon.require_giver(connection)
        return daemon.targets.set_admin(
            connection.namespace, ask.name, number=ask.number, sealed=ask.sealed, actor=actor, owns=owns
        )

    return _begun(daemon, connection, await daemon.first(work))


async def remove_target(daemon: Daemon, connection: Connection, ask: wire.RemoveTarget) -> Answer:
    """Take a target away."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        daemon.targets.remove(connection.namespace, ask.name, actor, owns=owns)
        return Done()

    return await daemon.first(work)


async def list_targets(daemon: Daemon, connection: Connection, ask: wire.ListTargets) -> Answer:
    """Every target, or the one of a name; a broker is wanted from then on, also by who adds the first one."""
    daemon.broker_wanted.set()
    space = connection.namespace
    brokers = daemon.connections.brokers(space)
    epoch = daemon.credentials.epoch

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.targets.targets(space)
            if ask.name:
                found = tuple(one for one in found if one.name == ask.name)
                if not found:
                    raise UnknownTargetError(f"no target is named `{shown(ask.name)}`")
            return wire.TargetRows(
                rows=tuple(_row(daemon, snapshot, one) for one in found),
                broker=bool(brokers),
                epoch=epoch.epoch,
                doubted=epoch.since,
                doubt=epoch.why,
                doubted_targets=epoch.left,
            )

    return await daemon.read(read)


def _begun(daemon: Daemon, connection: Connection, found: UnderTest) -> Answer:
    daemon.broker_wanted.set()
    daemon.credentials.wake(connection.namespace, [found.name])
    return wire.TargetTesting(name=found.name, identity=found.identity, credentials=found.credentials)


def _row(daemon: Daemon, snapshot: Snapshot, target: StoredTarget) -> wire.TargetRow:
    file = parse_target_file(target.file)
    owners, approvers = answering(snapshot, target)
    left, until = _left(snapshot, target, file, daemon.means.clock.now())
    return wire.TargetRow(
        name=target.name,
        kind=file.kind,
        where=msgspec.Raw(canonical(parse_object(target.file)["where"])),
        owner=", ".join(owners),
        approvers=approvers,
        identity=target.identity,
        state=target.state.value,
        number=target.number,
        kinds=tuple(_kind(target.name, one) for one in file.credentials),
        revocable=file.place.revocable,
        trouble=target.trouble,
        tested=target.tested,
        swept=daemon.credentials.swept(target.namespace, target.name),
        living=_count(snapshot, target, LIVE),
        revoking=_count(snapshot, target, {CredentialState.REVOKING}),
        left=left,
        left_until=until,
    )


def _left(
    snapshot: Snapshot, target: StoredTarget, file: TargetFile, now: Instant
) -> tuple[int, Instant | None]:
    """How many credentials nothing ends, and until when (rule 1)."""
    states = {CredentialState.UNSUPPORTED} if file.place.revocable else MAY_EXIST
    found = snapshot.credentials.credentials(
        target.namespace, target=target.name, states=states, limit=_COUNTED
    )
    ends = [one for one in map(last_use, found) if one > now]
    if len(found) == _COUNTED:
        ends.append(end_in_target(Instant(now + seconds(max(one.seconds for one in file.credentials)))))
    return min(len(ends), _COUNTED), max(ends, default=None)


def _count(snapshot: Snapshot, target: StoredTarget, states: Collection[CredentialState]) -> int:
    some = snapshot.credentials.credentials(
        target.namespace, target=target.name, states=states, limit=_COUNTED
    )
    return len(some)


def _kind(target: str, kind: CredentialKind) -> wire.KindRow:
    definition = kind_definition(kind)
    return wire.KindRow(
        name=kind.name,
        tool=join_tool_name(target, definition.name),
        description=kind.description,
        seconds=kind.seconds,
        effect=kind.effect.value,
        parameters=kind.parameters,
        renewable=kind.renewable,
    )
