"""What a sheet is made of, and how long one may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from taskbound.core.approval.question import First
    from taskbound.core.clock import Instant


class BadSheetError(MalformedError):
    """The text is not a sheet as it was shown, or something can't be put on a sheet."""

    code = "bad-sheet"
    remedy = "have the question shown again, and copy all of its lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLimits:
    """How much a person is asked to read; what has more is refused, and never held."""

    lines: int = 400
    """Eight to ten screens: some 2,000 words, or ten minutes at the pace at which people read for sense."""
    size: int = 32_768
    """Bytes of arguments and words together. A row of 10,000 spaces is one short escape, so lines alone
    bound neither the work nor what hides in a repetition; 400 full lines hold less than this."""


SHEET_LIMITS: Final = SheetLimits()
PLAN_LIMITS: Final = SheetLimits(lines=800)
"""Of a plan, all its steps together. Of the thirty lines of a small action twenty-five say of each step what
they say of the one before it: twice the lines are less than twice the reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOperand:
    """Something outside the arguments that the action depends on, as a probe found it."""

    kind: str
    """What sort of probe found it, such as `file` or `row`."""
    place: str
    """Where: a pointer to the argument that names it."""
    found: tuple[tuple[str, str], ...]
    """What was there, by name: a resolved path, a content hash, a version, an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetNeed:
    """One thing that lifts the hold, and how many people have to say so."""

    lifter: str
    """As policies name it, such as `approval:finance:2`."""
    persons: int
    """How many different people."""
    who: str
    """Of which group or person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOf:
    """One held action, everything that its approver's signature covers, and the words that came with it."""

    namespace: str
    digest: str
    """The approval digest: what is signed."""
    question: str
    """The question's id."""
    narrows: str
    """Approval digest of the question that was answered with this action; empty when it narrows none."""
    retry: int = 0
    """Which retry it is of what was answered before; 0 when it is none."""
    first: First | None = None
    """Of a retry: what of the question that was answered is another."""
    action: str
    """The action's id."""
    action_digest: str
    agent: str
    task: str
    requester: str
    tool: str
    server: str
    """The digest of the server's pinned identity."""
    server_identity: str
    """That identity in words: transport, binary with its hash, arguments."""
    definition: str
    """The digest of the tool's pinned definition."""
    arguments: bytes
    """Canonical: the bytes that will be sent."""
    operands: tuple[SheetOperand, ...]
    owner: str = ""
    """The person who answers for the tool; empty where nobody does. Whoever shows the sheet says it."""
    gives: str = ""
    """What a kind of credential is for, in the words of who declared it; empty of any other tool. Whoever
    shows the sheet says it."""
    attempt: int
    """Which attempt of this act in the tree of tasks this is, from 1."""
    last_outcome: str
    """Of the attempt before it, or `none`."""
    grant: str
    """The grant that covers it."""
    scope: str
    """The scope's version or digest."""
    policies: tuple[str, ...]
    """The policies that hold it."""
    needs: tuple[SheetNeed, ...]
    """All that has to be given, each with its quorum."""
    bundle: str
    """The digest of the policies in force."""
    asked: Instant
    deadline: Instant
    edition: int
    """How often the task was given a scope, from 1."""
    nonce: str
    purpose: str
    """The task's, in its requester's words."""
    reason: str
    """The agent's own words about this action; nothing has looked into them."""
    plan: str = ""
    """Id of the plan whose step it is; then `digest` is no more what is signed, but counts by that plan."""
    step: int = 0
    """Which step of it, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSheetOf:
    """A plan, everything that its approver's signature covers."""

    namespace: str
    digest: str
    """The plan digest: what is signed."""
    plan: str
    """Its id."""
    task: str
    requester: str
    nonce: str
    asked: Instant
    deadline: Instant
    steps: tuple[SheetOf, ...]
