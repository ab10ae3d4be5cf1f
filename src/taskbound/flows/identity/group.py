"""Groups of persons who share what they may grant.

Only the account that owns the data directory makes groups and sets members, as they approve and grant; a
member may leave. A person who may grant it, or that account, sets a grant. A grant is read when a task
starts; when a member leaves, running tasks they could not request now are paused in the same transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import GrantableChanged, GroupChanged
from taskbound.core.errors import MalformedError
from taskbound.core.identity import Group, UnknownIdentityError, parse_name
from taskbound.core.identity.agent import (
    OutsideGrantableError,
    parse_grantable,
    reach_of,
    require_giver,
    require_grantable,
)
from taskbound.flows.identity.leaving import pause_tasks, require_present, require_self
from taskbound.flows.identity.monitors import tell
from taskbound.flows.identity.person import IdentityExistsError, grantable_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.core.identity import Grantable
    from taskbound.core.identity.agent import Reach
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Adapters, TaskChange
    from taskbound.ports.store import Transaction


_GROUPS: Final = 256
OF_ONE: Final = 32


class TooManyGroupsError(MalformedError):
    """Too many groups, in all or of one person."""

    code = "too-many-groups"
    remedy = "say what they may grant of a group that is there, or of the person"


class Groups:
    """Works on groups; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def add(self, namespace: str, name: str, actor: Actor, *, owns: bool) -> Group:
        require_self(actor, (), owns=owns)
        group = Group(namespace=namespace, name=parse_name(name, what="a group"), members=())

        def work(tx: Transaction) -> Group:
            groups = tx.identities.groups(namespace)
            if any(one.name == name for one in groups):
                raise IdentityExistsError(f"a group named `{name}` is known already")
            if len(groups) >= _GROUPS:
                raise TooManyGroupsError(f"there are {_GROUPS} groups, and no more can be")
            tx.identities.put_group(group, expect=0)
            self._record(tx, namespace, _members(group, actor))
            return group

        return self._adapters.store.write(work)

    def set_member(
        self, namespace: str, name: str, person: str, *, member: bool, actor: Actor, owns: bool
    ) -> list[TaskChange]:
        require_self(actor, () if member or actor.name != person else (person,), owns=owns)

        def work(tx: Transaction) -> list[TaskChange]:
            persons, groups = tx.identities.lock_grantors(namespace)
            before = _require(groups, name)
            if member:
                require_present(persons.get(person), person)
            if (person in before.members) is member:
                return []
            if member and sum(person in one.members for one in groups) >= OF_ONE:
                raise TooManyGroupsError(f"`{person}` is in {OF_ONE} groups, and can be in no more")
            others = tuple(one for one in before.members if one != person)
            members = tuple(sorted((*others, person))) if member else others
            after = replace(before, members=members, version=before.version + 1)
            tx.identities.put_group(after, expect=before.version)
            events: list[Event] = [_members(after, actor)]
            moved: list[TaskChange] = []
            if not member:
                now = [after if one.name == name else one for one in groups]
                reach, why = reach_of(person, persons, now), f"{person} has left group {name}"
                moved = pause_tasks(tx, namespace, unfounded(person, reach), why, actor, events)
            tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())
            return moved

        moved = self._adapters.store.write(work)
        if moved:
            news = {
                "kind": "taskbound-member-left",
                "person": person,
                "group": name,
                "paused_tasks": [one.task for one in moved],
            }
            tell(self._adapters, namespace, news)
        return moved

    def set_grantable(
        self, namespace: str, name: str, grantable: Grantable, *, actor: Actor, owns: bool
    ) -> Group:
        parse_grantable(grantable)

        def work(tx: Transaction) -> Group:
            persons, groups = tx.identities.lock_grantors(namespace)
            before = _require(groups, name)
            if not owns:
                require_giver(reach_of(actor.name, persons, groups), before.grantable, grantable)
            after = replace(before, grantable=grantable, version=before.version + 1)
            tx.identities.put_group(after, expect=before.version)
            event = GrantableChanged(
                identity=name,
                form="group",
                before=grantable_word(before.grantable),
                after=grantable_word(grantable),
                by=actor.name,
                proof=actor.proof,
            )
            self._record(tx, namespace, event)
            return after

        return self._adapters.store.write(work)

    def _record(self, tx: Transaction, namespace: str, event: Event) -> None:
        tx.audit.append(namespace, self._adapters.writer, [event], self._adapters.clock.now())


def _require(groups: tuple[Group, ...], name: str) -> Group:
    for one in groups:
        if one.name == name:
            return one
    raise UnknownIdentityError(
        f"no group is named `{name}`", remedy="list them with `taskbound person group list`"
    )


def _members(group: Group, actor: Actor) -> GroupChanged:
    return GroupChanged(group=group.name, members=group.members, by=actor.name, proof=actor.proof)


def unfounded(person: str, reach: Reach) -> Callable[[Task], bool]:
    """Returns a test for tasks that this person requested and could not request now."""

    def which(task: Task) -> bool:
        if task.requester != person:
            return False
        try:
            require_grantable(task.scope, reach)
        except OutsideGrantableError:
            return True
        return False

    return which
