"""Operations on the keys of people, on people who leave, and on the owner and approvers of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.person_key import KeyFile, PersonKeyKind, why_not_standing
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.enrollment import Enrollments, Offer
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.person import set_demo, withdraw
from taskbound.surfaces.api.page.sitting import require_brought
from taskbound.surfaces.api.server.operation import Ended, as_giver, from_snapshot, operation
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity import Person
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.identity.enrollment import Progress
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, Reading
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
        progress = Enrollments(daemon.adapters).propose(
            connection.namespace, offer, actor, owns=owns, agent_accounts=daemon.agent_accounts
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@operation(wire.ProvePersonKey)
async def _prove_key(daemon: Daemon, connection: Connection, ask: wire.ProvePersonKey) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        progress = Enrollments(daemon.adapters).prove(
            connection.namespace, ask.key, ask.signature.encode(), actor, owns=owns
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@operation(wire.VouchPersonKey)
async def _vouch_key(daemon: Daemon, connection: Connection, ask: wire.VouchPersonKey) -> Answer:
    require_brought(ask.signature)

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        progress = Enrollments(daemon.adapters).vouch(
            connection.namespace,
            ask.key,
            voucher=ask.voucher,
            signature=ask.signature.encode(),
            actor=actor,
            owns=owns,
        )
        return detail_of(daemon, progress)

    return await daemon.first(work)


@as_giver(wire.WithdrawPersonKey)
def _withdraw_key(act: GiverAct, ask: wire.WithdrawPersonKey) -> None:
    withdraw(act.adapters, act.namespace, ask.key, act.actor, owns=act.owns, reason=ask.reason)


@from_snapshot(wire.ListPersonKeys)
def _list_keys(reading: Reading, _ask: wire.ListPersonKeys) -> Answer:
    now = reading.adapters.clock.now()
    persons = reading.snapshot.identities.persons(reading.namespace)
    keys = reading.snapshot.identities.person_keys(reading.namespace)
    demo = reading.snapshot.identities.namespace(reading.namespace).demo
    return wire.PersonKeyRows(rows=tuple(_row(one, persons, now) for one in keys), demo=demo)


@operation(wire.ShowPersonKey)
async def _show_key(daemon: Daemon, connection: Connection, ask: wire.ShowPersonKey) -> Answer:
    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            progress = Enrollments(daemon.adapters).look(snapshot, connection.namespace, ask.key)
        return detail_of(daemon, progress)

    return await daemon.read(read)


@as_giver(wire.SetDemo)
def _set_namespace_demo(act: GiverAct, ask: wire.SetDemo) -> None:
    set_demo(act.adapters, act.namespace, demo=ask.demo, actor=act.actor, owns=act.owns)


@as_giver(wire.LeavePerson)
def _leave_person(act: GiverAct, ask: wire.LeavePerson) -> Ended:
    people = People(act.adapters, act.daemon.views)
    moved = people.leave(act.namespace, ask.name, act.actor, owns=act.owns, reason=ask.reason)
    return Ended(moved, Done(detail=f"{len(moved)} tasks paused"))


@as_giver(wire.ReturnPerson)
def _return_person(act: GiverAct, ask: wire.ReturnPerson) -> None:
    People(act.adapters, act.daemon.views).come_back(act.namespace, ask.name, act.actor, owns=act.owns)


@as_giver(wire.LinkPersons)
def _link(act: GiverAct, ask: wire.LinkPersons) -> Answer:
    changed = link_persons(
        act.adapters, act.namespace, ask.one, ask.other, linked=ask.linked, actor=act.actor, owns=act.owns
    )
    act.daemon.views.forget()
    return Done(detail=", ".join(changed))


@as_giver(wire.SetAnswering)
def _set_answering(act: GiverAct, ask: wire.SetAnswering) -> None:
    People(act.adapters, act.daemon.views).set_answering(
        act.namespace, ask.name, owner=ask.owner, approvers=ask.approvers, actor=act.actor, owns=act.owns
    )


def detail_of(daemon: Daemon, progress: Progress) -> wire.PersonKeyDetail:
    """Returns one key and the statements to sign for it."""
    key = progress.key
    with daemon.adapters.store.read() as snapshot:
        persons = snapshot.identities.persons(key.namespace)
        demo = snapshot.identities.namespace(key.namespace).demo
    return wire.PersonKeyDetail(
        row=_row(key, persons, daemon.adapters.clock.now()),
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
