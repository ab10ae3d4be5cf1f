"""Operations on what persons and groups may grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskbound.core.action import parse_document
from taskbound.core.identity import Breadth, UnknownIdentityError
from taskbound.core.identity.grantable import BadGrantableError
from taskbound.core.scope import parse_scope
from taskbound.flows.identity import Groups, set_person_grantable
from taskbound.surfaces.api.show import group_detail, person_detail
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity import Grantable
    from taskbound.flows.means import Moved
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def show_person(daemon: Daemon, connection: Connection, ask: wire.ShowPerson) -> Answer:
    """One person, and what they may grant."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            persons = snapshot.identities.persons(connection.namespace)
            groups = snapshot.identities.groups(connection.namespace)
        if ask.name not in persons:
            raise UnknownIdentityError(f"no person is named `{ask.name}`")
        return person_detail(ask.name, persons, groups)

    return await daemon.read(read)


async def set_grantable(daemon: Daemon, connection: Connection, ask: wire.SetPersonGrantable) -> Answer:
    """Say what a person may grant."""
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        set_person_grantable(daemon.means, connection.namespace, ask.name, grantable, actor=actor, owns=owns)
        daemon.views.forget()

    await daemon.first(work)
    return Done()


async def add_group(daemon: Daemon, connection: Connection, ask: wire.AddGroup) -> Answer:
    """Make a group."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        Groups(daemon.means).add(connection.namespace, ask.name, actor, owns=owns)

    await daemon.first(work)
    return Done()


async def set_member(daemon: Daemon, connection: Connection, ask: wire.SetMember) -> Answer:
    """Take a person into a group or out of it."""

    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = Groups(daemon.means).set_member(
            connection.namespace, ask.group, ask.person, member=ask.member, actor=actor, owns=owns
        )
        daemon.views.forget()
        return moved

    moved = await daemon.first(work)
    daemon.tell_ended(moved)
    return Done(detail=f"{len(moved)} tasks paused" if moved else "")


async def set_group_grantable(daemon: Daemon, connection: Connection, ask: wire.SetGroupGrantable) -> Answer:
    """Say what the members of a group may grant."""
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        Groups(daemon.means).set_grantable(connection.namespace, ask.name, grantable, actor=actor, owns=owns)
        daemon.views.forget()

    await daemon.first(work)
    return Done()


async def list_groups(daemon: Daemon, connection: Connection, _ask: wire.ListGroups) -> Answer:
    """Every group."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            groups = snapshot.identities.groups(connection.namespace)
        return wire.GroupRows(rows=tuple(map(group_detail, groups)))

    return await daemon.read(read)


async def show_group(daemon: Daemon, connection: Connection, ask: wire.ShowGroup) -> Answer:
    """One group."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            for one in snapshot.identities.groups(connection.namespace):
                if one.name == ask.name:
                    return group_detail(one)
        raise UnknownIdentityError(f"no group is named `{ask.name}`")

    return await daemon.read(read)


def _grantable(ask: wire.SetPersonGrantable | wire.SetGroupGrantable) -> Grantable:
    """What is to be said.

    Raises:
        BadGrantableError: Both a word and a scope are given, none, or an unknown word.
        ScopeSyntaxError: It is no scope.
    """
    scope = ask.scope
    if isinstance(scope, msgspec.Raw) and not ask.word:
        return parse_scope(parse_document(bytes(scope)))
    for one in Breadth:
        if ask.word == one.value and scope is msgspec.UNSET:
            return one
    raise BadGrantableError("give either a scope, or one of the words `nothing` and `ceiling`", where="word")
