"""Who answers for a target: said in its file, and of its tools once it has them (law 9).

1. The owner is a person who has not left. An approver is such a person, or a group that there is; a bare name
   is a person's where there is one.
2. Whoever has left before a target has its tools is named for none of them.
3. Who answers for a tool may be changed, and they for all of them: that is what is shown of the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity import OF_GROUP, PersonState, UnknownIdentityError, group_named
from taskbound.core.target import parse_target_file
from taskbound.flows.identity.leaving import require_present

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.identity import Group, Person
    from taskbound.core.target import TargetFile
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget


def require_people(
    file: TargetFile, persons: Mapping[str, Person], groups: Collection[Group]
) -> tuple[str, ...]:
    """The approvers of a file, each as what it is, sorted (rule 1).

    Raises:
        UnknownIdentityError: The owner or an approver is nobody who is there.
    """
    require_present(persons.get(file.owner), file.owner)
    known = {one.name for one in groups}
    return tuple(sorted({_approver(name, persons, known) for name in file.approvers}))


def _approver(name: str, persons: Mapping[str, Person], groups: Collection[str]) -> str:
    group = group_named(name)
    if group or (not _is_present(name, persons) and name in groups):
        if (group or name) not in groups:
            raise UnknownIdentityError(f"no group is named `{group}`")
        return f"{OF_GROUP}{group or name}"
    if not _is_present(name, persons):
        raise UnknownIdentityError(f"no person or group is named `{name}`")
    return name


def still_there(file: TargetFile, persons: Mapping[str, Person]) -> tuple[str, tuple[str, ...]]:
    """The owner, or nobody, and the approvers of a kept file who have not left (rule 2)."""
    owner = file.owner if _is_present(file.owner, persons) else ""
    approvers = tuple(one for one in file.approvers if group_named(one) or _is_present(one, persons))
    return owner, approvers


def owners_of(snapshot: Snapshot, target: StoredTarget) -> tuple[str, ...]:
    """Who answers for a target now: the owners of its tools, or of its file before it has any (rule 3)."""
    return answering(snapshot, target)[0]


def answering(snapshot: Snapshot, target: StoredTarget) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its owners and its approvers now, each sorted (rule 3)."""
    tools = snapshot.tools.tools(target.namespace, server=target.name)
    if not tools:
        owner, approvers = still_there(
            parse_target_file(target.file), snapshot.identities.persons(target.namespace)
        )
        return ((owner,) if owner else ()), approvers
    named = snapshot.tools.approvers(target.namespace)
    owners = {one.owner for one in tools} - {""}
    return tuple(sorted(owners)), tuple(sorted({one for tool in tools for one in named.get(tool.name, ())}))


def _is_present(name: str, persons: Mapping[str, Person]) -> bool:
    found = persons.get(name)
    return found is not None and found.state is PersonState.PRESENT
