"""Operations on the keys of people, on people who leave, and on the owner and approvers of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.person_key import KeyFile, PersonKeyKind, why_not_standing
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.enrollment import Enrollments, Offer
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.person import set_demo, withdraw
from taskbound.surfaces.api.page.sitting import require_brought
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity import Person
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.identity.enrollment import Progress
    from taskbound.flows.means import Moved
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


@operation(wire.ProposePersonKey)
async def _propose_key(daemon: Daemon, connection: Connection, ask: wire.ProposePersonKey) -> Answer:
    seen = ask.file
    offer = Offer(
        person=ask.person,
        kind=PersonKeyKind.OPENSSH,
        public=ask.public.encode(),
        file=None if seen is None else KeyFile(encrypted=seen.encrypted, mode=seen.mode, uid=seen.uid),
    )

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        progress = Enrollments(daemon.means).propose(
            connection.namespace, offer, actor, owns=owns, agent_accounts=daemon.agent_accounts
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@operation(wire.ProvePersonKey)
async def _prove_key(daemon: Daemon, connection: Connection, ask: wire.ProvePersonKey) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        progress = Enrollments(daemon.means).prove(
            connection.namespace, ask.key, ask.signature.encode(), actor, owns=owns
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@operation(wire.VouchPersonKey)
async def _vouch_key(daemon: Daemon, connection: Connection, ask: wire.VouchPersonKey) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        progress = Enrollments(daemon.means).vouch(
            connection.namespace,
            ask.key,
            voucher=ask.voucher,
            signature=ask.signature.encode(),
            actor=actor,
            owns=owns,
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@operation(wire.WithdrawPersonKey)
async def _withdraw_key(daemon: Daemon, connection: Connection, ask: wire.WithdrawPersonKey) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        withdraw(daemon.means, connection.namespace, ask.key, actor, owns=owns, reason=ask.reason)
        return Done()

    return await daemon.first(work)


@operation(wire.ListPersonKeys)
async def _list_keys(daemon: Daemon, connection: Connection, _ask: wire.ListPersonKeys) -> Answer:
    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            persons = snapshot.identities.persons(connection.namespace)
            keys = snapshot.identities.person_keys(connection.namespace)
            demo = snapshot.identities.namespace(connection.namespace).demo
        return wire.PersonKeyRows(rows=tuple(_row(one, persons, now) for one in keys), demo=demo)

    return await daemon.read(read)


@operation(wire.ShowPersonKey)
async def _show_key(daemon: Daemon, connection: Connection, ask: wire.ShowPersonKey) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            progress = Enrollments(daemon.means).look(snapshot, connection.namespace, ask.key)
        return detail_of(daemon, progress)

    return await daemon.read(read)


@operation(wire.SetDemo)
async def _set_namespace_demo(daemon: Daemon, connection: Connection, ask: wire.SetDemo) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        set_demo(daemon.means, connection.namespace, demo=ask.demo, actor=actor, owns=owns)
        return Done()

    return await daemon.first(work)


@operation(wire.LeavePerson)
async def _leave_person(daemon: Daemon, connection: Connection, ask: wire.LeavePerson) -> Answer:
    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        people = People(daemon.means, daemon.views)
        return people.leave(connection.namespace, ask.name, actor, owns=owns, reason=ask.reason)

    moved = await daemon.first(work)
    daemon.tell_ended(moved)
    return Done(detail=f"{len(moved)} tasks paused")


@operation(wire.ReturnPerson)
async def _return_person(daemon: Daemon, connection: Connection, ask: wire.ReturnPerson) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        People(daemon.means, daemon.views).come_back(connection.namespace, ask.name, actor, owns=owns)
        return Done()

    return await daemon.first(work)


@operation(wire.LinkPersons)
async def _link(daemon: Daemon, connection: Connection, ask: wire.LinkPersons) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        changed = link_persons(
            daemon.means, connection.namespace, ask.one, ask.other, linked=ask.linked, actor=actor, owns=owns
        )
        daemon.views.forget()
        return Done(detail=", ".join(changed))

    return await daemon.first(work)


@operation(wire.SetAnswering)
async def _set_answering(daemon: Daemon, connection: Connection, ask: wire.SetAnswering) -> Answer:
    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        People(daemon.means, daemon.views).set_answering(
            connection.namespace, ask.name, owner=ask.owner, approvers=ask.approvers, actor=actor, owns=owns
        )
        return Done()

    return await daemon.first(work)


def detail_of(daemon: Daemon, progress: Progress) -> wire.PersonKeyDetail:
    """Returns one key and the statements to sign for it."""
    key = progress.key
    with daemon.means.store.read() as snapshot:
        persons = snapshot.identities.persons(key.namespace)
        demo = snapshot.identities.namespace(key.namespace).demo
    return wire.PersonKeyDetail(
        row=_row(key, persons, daemon.means.clock.now()),
        statement=progress.statement.decode(),
        vouching=progress.vouching.value,
        can=progress.can,
        demo=demo,
    )


def _row(key: PersonKey, persons: Mapping[str, Person], now: Instant) -> wire.PersonKeyRow:
    why = why_not_standing(key, persons, now)
    return wire.PersonKeyRow(
        key=key.id,
        person=key.person,
        kind=key.kind.value,
        fingerprint=key.fingerprint,
        label=key.label,
        custody=key.custody.value,
        state=key.state.value,
        enrolled=key.enrolled,
        usable_from=key.usable_from,
        enrolled_by=key.enrolled_by,
        counts=not why,
        why_not=why,
    )
