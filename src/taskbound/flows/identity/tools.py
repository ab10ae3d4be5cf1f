"""The tools of somebody who comes, or leaves: then they approve for none and own none any more.

1. An owner is taken away under the tool's version: what was evaluated before is evaluated again, in whatever
   daemon. Nobody gets a tool by that.
2. A target is left without an owner with its tools; before it has any, with the owner that its file names.
   That file stays as it was declared: the tools that come of it then have no owner (`flows.target.testing`).
3. What an account pinned while the namespace had no persons is the person's whose account that is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit.events import ToolApproversChanged, ToolOwnerChanged
from taskbound.core.target import TargetState, parse_target_file
from taskbound.core.tool import credential_kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.audit import Event
    from taskbound.core.identity import Person
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Transaction


def let_go_of_tools(
    tx: Transaction, namespace: str, name: str, actor: Actor, events: list[Event]
) -> dict[str, list[str]]:
    """Take every tool from a person; in order the tools that they owned, and the targets if there are some.

    Both as news call them: `tools_without_owner` and `targets_without_owner` (rule 2).

    Args:
        tx: The transaction in which they leave, which holds the lock on persons.
        namespace: Of the person.
        name: Theirs.
        actor: Who says that they leave.
        events: What is to be recorded goes there.
    """
    for tool, named in tx.tools.approvers(namespace).items():
        if name in named:
            others = tuple(one for one in named if one != name)
            tx.tools.put_approvers(namespace, tool, others)
            events.append(ToolApproversChanged(tool=tool, approvers=others, by=actor.name, proof=actor.proof))
    owned = [tool for tool in tx.tools.tools(namespace) if tool.owner == name]
    for pin in owned:
        tx.tools.put_tool(replace(pin, owner="", version=pin.version + 1), expect=pin.version)  # 1
        events.append(
            ToolOwnerChanged(tool=pin.name, before=name, owner="", by=actor.name, proof=actor.proof)
        )
    tools = [pin.name for pin in owned]
    targets = _targets_left(tx, namespace, name, tools)
    return {"tools_without_owner": tools} | ({"targets_without_owner": targets} if targets else {})


def _targets_left(tx: Transaction, namespace: str, name: str, tools: Collection[str]) -> list[str]:
    found = {asked[0] for asked in map(credential_kind, tools) if asked is not None}
    declared = {
        one.name
        for one in tx.targets.targets(namespace)
        if one.state is not TargetState.READY and parse_target_file(one.file).owner == name
    }
    return sorted(found | declared)


def own_what_was_pinned(tx: Transaction, person: Person, actor: Actor) -> list[Event]:
    """Give a new person the tools that their account pinned before (rule 3); the records of it."""
    before = f"uid:{person.uid}"
    events: list[Event] = []
    for pin in tx.tools.tools(person.namespace):
        if pin.owner == before:
            tx.tools.put_tool(replace(pin, owner=person.name, version=pin.version + 1), expect=pin.version)
            events.append(
                ToolOwnerChanged(
                    tool=pin.name, before=before, owner=person.name, by=actor.name, proof=actor.proof
                )
            )
    return events
