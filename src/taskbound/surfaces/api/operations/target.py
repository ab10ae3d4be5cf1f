"""Operations on targets, and on existing logins in them that were not minted here.

Of `target`:
1. The credentials that cannot be ended early are those left to their own expiry and, for a target whose file
   allows no revocation, all that may exist. Beyond the counted ones the longest lifetime applies.
Of `discovery`:
1. Only the broker has admin access, so it looks. The request names a target and changes nothing.
2. A person outside any gateway or run asks, because the result is a map for an attacker.
3. A question waits for at most `WAIT`. An answer is accepted only from a broker that was asked, and goes to
   the caller; a second answer changes nothing.
4. The contacts for a finding are the target's current owner and approvers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import canonical, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import LIVE, MAY_EXIST, CredentialState, end_in_target, last_use
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.target import kind_definition, parse_target_file
from taskbound.core.tool import join_tool_name
from taskbound.core.tool.name import shown
from taskbound.flows.target import UnknownTargetError
from taskbound.flows.target.testing import answering
from taskbound.surfaces.api.operations.credential import NoBrokerError
from taskbound.surfaces.api.server.operation import as_giver, operation
from taskbound.wire import target as wire
from taskbound.wire.connection import Done
from taskbound.wire.target import Discovered, DiscoverPush, DiscoverTarget, TellDiscovered

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.target import UnderTest
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct
    from taskbound.wire.envelope import Answer


_COUNTED = 1_000
"""How many credentials of a target are counted for a list."""


@operation(wire.AddTarget)
async def _add_target(daemon: Daemon, connection: Connection, ask: wire.AddTarget) -> Answer:
    def work() -> UnderTest:
        actor, owns = daemon.require_giver(connection)
        return daemon.targets.add(connection.namespace, bytes(ask.file), ask.sealed, actor, owns=owns)

    return _begun(daemon, connection, await daemon.first(work))


@operation(wire.TestTarget)
async def _test_target(daemon: Daemon, connection: Connection, ask: wire.TestTarget) -> Answer:
    return _begun(
        daemon,
        connection,
        await daemon.first(
            lambda: daemon.targets.test(connection.namespace, ask.name, daemon.require_person(connection))
        ),
    )


@operation(wire.SetAdmin)
async def _set_admin(daemon: Daemon, connection: Connection, ask: wire.SetAdmin) -> Answer:
    def work() -> UnderTest:
        actor, owns = daemon.require_giver(connection)
        return daemon.targets.set_admin(
            connection.namespace, ask.name, number=ask.number, sealed=ask.sealed, actor=actor, owns=owns
        )

    return _begun(daemon, connection, await daemon.first(work))


@as_giver(wire.RemoveTarget)
def _remove_target(act: GiverAct, ask: wire.RemoveTarget) -> None:
    act.daemon.targets.remove(act.namespace, ask.name, act.actor, owns=act.owns)


@operation(wire.ListTargets)
async def _list_targets(daemon: Daemon, connection: Connection, ask: wire.ListTargets) -> Answer:
    """Returns all targets, or the one of this name.

    From then on a broker is needed, also by the person who adds the first target.
    """
    daemon.broker_wanted.set()
    space = connection.namespace
    brokers = daemon.connections.brokers(space)
    epoch = daemon.credentials.epoch

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
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
    left, until = _left(snapshot, target, file, daemon.adapters.clock.now())
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
    """Returns how many credentials cannot be ended early, and until when (rule 1)."""
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


WAIT: Final = 9.0
"""Seconds that a question waits: longer than a broker looks."""


class NothingSeenError(UnavailableError):
    """The logins of a target could not be listed."""

    code = "nothing-seen"
    remedy = "look at the target, and at the broker's log; nothing was changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    namespace: str
    answer: asyncio.Future[TellDiscovered]


class Discoveries:
    """The questions that wait for a broker; used in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, _Waiting] = {}

    async def ask(
        self, brokers: tuple[Connection, ...], namespace: str, target: str, look: str
    ) -> TellDiscovered:
        """Returns what one of these brokers finds in a target; raises NothingSeenError (rule 3)."""
        waiting = _Waiting(namespace=namespace, answer=self._loop.create_future())
        self._waiting[look] = waiting
        try:
            for one in brokers:
                one.push(DiscoverPush(look=look, target=target))
            async with asyncio.timeout(WAIT):
                return await waiting.answer
        except TimeoutError:
            raise NothingSeenError("the broker did not answer in time") from None
        finally:
            del self._waiting[look]

    def take(self, namespace: str, told: TellDiscovered) -> None:
        """Takes a broker's answer; without a waiting question it is dropped."""
        waiting = self._waiting.get(told.look)
        if waiting is not None and waiting.namespace == namespace and not waiting.answer.done():
            waiting.answer.set_result(told)


@operation(DiscoverTarget)
async def _discover_target(daemon: Daemon, connection: Connection, ask: DiscoverTarget) -> Answer:
    space = connection.namespace

    def work() -> tuple[str, str, tuple[str, ...]]:
        daemon.require_person(connection)  # 2
        with daemon.adapters.store.read() as snapshot:
            stored = snapshot.targets.target(space, ask.target)
            if stored is None:
                raise UnknownTargetError(f"no target is named `{shown(ask.target)}`")
            owners, approvers = answering(snapshot, stored)  # 4
        return parse_target_file(stored.file).kind, ", ".join(owners), approvers

    kind, owner, approvers = await daemon.first(work)
    brokers = daemon.connections.brokers(space)
    if not brokers:
        raise NoBrokerError("no broker is connected to this daemon, and only a broker can look")
    told = await daemon.discoveries.ask(brokers, space, ask.target, daemon.adapters.chance.name("dsc"))
    if told.code:
        raise NothingSeenError(
            told.trouble or "the broker could not look", remedy=told.advice or NothingSeenError.remedy
        )
    return Discovered(
        target=ask.target,
        kind=kind,
        owner=owner,
        approvers=approvers,
        rows=told.rows,
        count=told.count,
        notes=told.notes,
        whole=told.whole,
    )


@operation(TellDiscovered)
async def _take_discovered(daemon: Daemon, connection: Connection, ask: TellDiscovered) -> Answer:
    daemon.discoveries.take(connection.namespace, ask)
    return Done()
