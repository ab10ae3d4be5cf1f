"""Who answers for a tool: law 9 of a tool that acts, as an agent's owner answers for the agent.

1. The owner is a person of the namespace who has not left.
2. An owner gives their tool to somebody else. Of a tool that nobody owns any more it is said by the account
   that owns the data directory.
3. It is kept with the tool's pin, whatever definition is pinned: a decision that has locked the tool sees it
   before or after, and is made again where it was evaluated before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit.events import ToolOwnerChanged
from taskbound.core.identity import NotOwnerError, PersonState
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity.leaving import require_present

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity import Person
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction
    from taskbound.ports.tool import PinnedTool


def set_owner(means: Means, namespace: str, tool: str, owner: str, *, actor: Actor, owns: bool) -> PinnedTool:
    """Say who answers for a tool from now on.

    Args:
        means: What to work with.
        namespace: Of the tool.
        tool: Its name.
        owner: The person.
        actor: Who says it.
        owns: Whether their account owns the data directory.

    Raises:
        UnknownToolError: The tool is not pinned.
        UnknownIdentityError: There is no such person, or they have left (rule 1).
        NotOwnerError: Somebody says it who may not (rule 2).
    """

    def work(tx: Transaction) -> PinnedTool:
        pin = tx.tools.tool(namespace, tool)
        if pin is None:
            raise UnknownToolError(
                f"no tool `{tool}` is pinned", remedy="list the pinned ones with `taskbound tool list`"
            )
        after = replace(pin, owner=owner, version=pin.version + 1)
        tx.tools.put_tool(after, expect=pin.version)  # 3
        persons, _ = tx.identities.lock_grantors(namespace)
        event = owned_by(pin, owner, persons, actor, owns=owns)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    return means.store.write(work)


def owned_by(
    pin: PinnedTool, owner: str, persons: Mapping[str, Person], actor: Actor, *, owns: bool
) -> ToolOwnerChanged:
    """The record of who owns a tool from now on, where this may be said; raises as `set_owner`."""
    require_present(persons.get(owner), owner)  # 1
    left = persons.get(pin.owner)
    orphaned = left is None or left.state is not PersonState.PRESENT
    if not (owns if orphaned else actor.name == pin.owner):  # 2
        raise NotOwnerError(
            f"only {'the account that owns the data directory' if orphaned else f'`{pin.owner}`'}"
            f" says who owns tool `{pin.name}`",
            remedy="ask for it to be said by whoever may: `taskbound tool list` names owners",
        )
    return ToolOwnerChanged(tool=pin.name, before=pin.owner, owner=owner, by=actor.name, proof=actor.proof)
