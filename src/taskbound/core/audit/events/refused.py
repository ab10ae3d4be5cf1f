"""What was refused before it came to a decision, or to the end of one."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRefused:
    """What was told of a permitted action can't be believed; the action stands as it did."""

    kind: ClassVar[str] = "outcome-refused"
    action: str
    task: str
    agent: str
    outcome: str
    """What was told."""
    code: str
    connection: str
    """Whose permit it is."""
    token: str = ""
    """The task token that it was told with; empty where a gateway told it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """A process that listens to a network refused requests before they were whole; they prove nobody."""

    kind: ClassVar[str] = "request-refused"
    surface: str
    """Which one: `api` or `front`."""
    code: str
    operation: str
    """What was asked for, such as `action:ask`; empty where that is not known."""
    times: int
    """How many: more than one where they came faster than they were told."""
