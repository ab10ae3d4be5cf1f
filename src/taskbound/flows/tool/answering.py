"""Who approves for a tool: said by the account that owns the data directory, as who is in a group.

1. They are persons of the namespace who have not left. What policies leave to those who approve for the agent
   then goes to them, and to nobody else.
2. It is said of the tool's name. Taking the server away and pinning it again changes nothing of it.
3. It is written behind the tool's row: a decision that has locked the tool sees it before or after, and is
   made again where it was evaluated before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import ToolApproversChanged
from taskbound.core.errors import MalformedError
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity.leaving import require_present, require_self

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


_MOST: Final = 32


class TooManyApproversError(MalformedError):
    """More persons than may approve for one tool."""

    code = "too-many-approvers"
    remedy = "name a group in a policy instead: `approval:GROUP`"


def set_approvers(
    means: Means, namespace: str, tool: str, approvers: tuple[str, ...] | None, *, actor: Actor, owns: bool
) -> tuple[str, ...]:
    """Say who approves for a tool from now on; None leaves it to those who approve for the agent again.

    Raises:
        NotSelfError: Another account than the data directory's says it.
        UnknownToolError: The tool is not pinned.
        UnknownIdentityError: There is no such person.
        TooManyApproversError: They are too many.
    """
    require_self(actor, (), owns=owns)
    named = require_few(approvers or ())

    def work(tx: Transaction) -> None:
        pin = tx.tools.tool(namespace, tool)
        if pin is None:
            raise UnknownToolError(
                f"no tool `{tool}` is pinned", remedy="list the pinned ones with `taskbound tool list`"
            )
        tx.tools.put_tool(replace(pin, version=pin.version + 1), expect=pin.version)  # 3
        persons, _ = tx.identities.lock_grantors(namespace)
        for name in named:
            require_present(persons.get(name), name)  # 1
        tx.tools.put_approvers(namespace, tool, None if approvers is None else named)  # 2
        event = ToolApproversChanged(
            tool=tool, approvers=named, by=actor.name, proof=actor.proof, own=approvers is not None
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)
    return named


def require_few(approvers: tuple[str, ...]) -> tuple[str, ...]:
    """The persons, each once and sorted.

    Raises:
        TooManyApproversError: They are too many.
    """
    named = tuple(sorted(set(approvers)))
    if len(named) > _MOST:
        raise TooManyApproversError(f"at most {_MOST} persons approve for a tool")
    return named
