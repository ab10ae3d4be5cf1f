"""Messages about questions on held actions: show, answer, withdraw."""

from __future__ import annotations

from taskbound.wire.action import AmendmentRow, Changed
from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.network import PageAsk


class ListApprovals(Request, frozen=True, tag="approval:list", tag_field="op"):
    """List approvals, newest first."""

    states: tuple[str, ...] = ()
    task: str = ""
    limit: int = 50
    before: str = ""
    """Cursor: the last approval of the page before, or the last amendment. Each goes on by itself."""


class ShowApproval(Request, frozen=True, tag="approval:show", tag_field="op"):
    """Show one approval with everything that its sheet is made from."""

    approval: str
    """Its id, or the id of its action."""


class AnswerApproval(Request, frozen=True, tag="approval:answer", tag_field="op"):
    """Answer with a signed statement, the only way to approve."""

    statement: str
    """Exactly what was signed."""
    signature: str
    """SSHSIG, armored."""


class PlanStep(Message, frozen=True):
    """One call of a plan."""

    tool: str
    arguments: str
    """The canonical bytes of its arguments, as text."""


class ProposePlan(Request, frozen=True, tag="approval:plan", tag_field="op"):
    """Ask approvers about several calls of a task together, in this order. Asking grants nothing."""

    task: str
    steps: tuple[PlanStep, ...]


class ShowPlan(Request, frozen=True, tag="approval:show-plan", tag_field="op"):
    """Show one plan with everything that its sheet is made from."""

    plan: str


class AnswerPlan(Request, frozen=True, tag="approval:answer-plan", tag_field="op"):
    """Answer a plan with signed statements: approve each of its steps, or deny some."""

    statement: str
    """Exactly what was signed."""
    signature: str
    """SSHSIG, armored."""


class OpenApproval(Request, frozen=True, tag="approval:open", tag_field="op"):
    """Open a page on which the caller's passkey signs one answer, the same statement as elsewhere."""

    approval: str
    """Its id, or the id of its action."""
    digest: str
    """The approval digest that the asker has seen."""
    deny: bool = False
    """What will be said is chosen here, and not on the page."""
    key: str = ""
    """The passkey that signs, where one has several."""
    network: str = ""
    """What the system calls the network that the asker is in, so that no page is served in another one."""
    retries: int = 0
    """How many retries the answer is to cover, 0 to 3; a denial covers none."""


class LookAtApproval(PageAsk, frozen=True, tag="approval:look", tag_field="op"):
    """Ask for the parts of a question that the person signed in with a browser may see and sign."""

    approval: str = ""


class AnswerOnPage(PageAsk, frozen=True, tag="approval:say", tag_field="op"):
    """Answer a question on its page with a signed statement of the person signed in with the browser."""

    statement: str = ""
    signature: str = ""
    """SSHSIG, armored."""


class PageStatement(Message, frozen=True):
    """A statement that a key of the person can sign about a question."""

    key: str
    text: str


class ApprovalPage(Response, frozen=True, tag="approval-page", tag_field="is"):
    """The contents of a question's page."""

    person: str
    """The person signed in with the browser; if empty, everything else is empty too."""
    acr: str
    """How they have to sign in first, by a space between two; empty for any way."""
    within: int
    """How long ago at most, seconds; 0 for any time."""
    met: bool
    """Whether they have."""
    state: str = ""
    sheet: str = ""
    missing: str = ""
    statements: tuple[PageStatement, ...] = ()
    """A yes, by each OpenSSH key of theirs that counts now."""


class ProveApproval(Request, frozen=True, tag="approval:prove", tag_field="op"):
    """Submit an issuer's signed statement about a question; its signer and subject count."""

    approval: str
    token: str
    """A compact JWS."""


class NarrowApproval(Request, frozen=True, tag="approval:narrow", tag_field="op"):
    """Submit a signed answer with a narrower action: the held one's tool with these arguments."""

    statement: str
    """Exactly what was signed; it names both digests."""
    signature: str
    """SSHSIG, armored."""
    arguments: str
    """The canonical bytes of the narrower action's arguments, as text."""


class MeasureApprovals(Request, frozen=True, tag="approval:stats", tag_field="op"):
    """Ask how many questions approvers were asked, and how fast they answered."""

    hours: int = 24


class LimitApprovals(Request, frozen=True, tag="approval:limits", tag_field="op"):
    """Limit how many questions approvers are asked; 0 keeps a limit. Only the data directory's owner may."""

    open: int = 0
    hourly: int = 0
    speed: int = 0


class AgentLoad(Message, frozen=True):
    """How many questions one agent caused."""

    agent: str
    asked: int
    busiest: int
    """Questions within the busiest hour."""
    states: dict[str, int]


class PersonLoad(Message, frozen=True):
    """How many questions one person was asked, and how they answered."""

    person: str
    shown: int
    busiest: int
    """Questions that were first shown to them within the busiest hour."""
    yes: int
    no: int
    hasty: int
    """Yes that came sooner than anybody can read, or to what was never shown to them here."""
    unseen: int
    """Of those: to what was never shown to them here."""
    median: int
    """Microseconds from display to answer; -1 when nothing is known."""
    speed: int
    """Characters a second that the median answer had to be read with; -1 when nothing is known."""


class ApprovalLimits(Response, frozen=True, tag="approval-limits", tag_field="is"):
    """How many questions approvers may be asked."""

    open: int
    """Questions of one task that are open at once."""
    hourly: int
    """Questions that one agent may have asked within an hour."""
    speed: int
    """Characters a second that anybody can read."""


class ApprovalStats(Response, frozen=True, tag="approval-stats", tag_field="is"):
    """How many questions approvers were asked within these hours, and how fast they answered."""

    hours: int
    limits: ApprovalLimits
    agents: tuple[AgentLoad, ...]
    persons: tuple[PersonLoad, ...]


class WithdrawApproval(Request, frozen=True, tag="approval:withdraw", tag_field="op"):
    """Withdraw a question. Only the requester or the agent's owner may."""

    approval: str
    reason: str = ""


class LeaveHold(Request, frozen=True, tag="approval:leave", tag_field="op"):
    """Withdraw the question of a waiting call that its client canceled. Only a gateway may."""

    action: str


class ApprovalRow(Message, frozen=True, tag="approval", tag_field="is"):
    """One approval in short."""

    approval: str
    action: str
    task: str
    agent: str
    tool: str
    requester: str
    state: str
    lifters: tuple[str, ...]
    missing: str
    """What is missing until it is lifted, in words; empty when nothing is, or it is over."""
    asked: int
    deadline: int
    reason: str = ""
    plan: str = ""
    """The plan whose step it is; empty when it is asked by itself."""
    step: int = 0


class ApprovalRows(Response, frozen=True, tag="approvals", tag_field="is"):
    """A page of approvals."""

    rows: tuple[ApprovalRow, ...]
    more: bool
    amendments: tuple[AmendmentRow, ...] = ()
    """Amendments of tasks that people are asked about: at most `limit`, newest first. They have pages of
    their own: the first of both come together, the next of each when one of its ids is the cursor."""
    more_amendments: bool = False


class ApprovalAnswer(Message, frozen=True):
    """One answer to an approval."""

    kind: str
    person: str
    """Of evidence: the issuer."""
    key: str
    """Of evidence: the token's digest."""
    received: int
    retries: int = 0
    """How many retries it covers."""
    acr: str = ""
    """How the person had signed in who brought it, in their issuer's words; empty where that is not known."""
    authenticated: int = 0
    """When they had, in microseconds; 0 where that is not known."""


class ApprovalDetail(Response, frozen=True, tag="approval-detail", tag_field="is"):
    """One approval in full; the display makes its sheet and digest from this."""

    row: ApprovalRow
    digest: str
    question: str
    """The canonical bytes whose SHA-256 is the digest, as text."""
    arguments: str
    """The canonical bytes that will be sent, as text."""
    server: str
    server_identity: str
    definition: str
    attempt: int
    last_outcome: str
    policies: tuple[str, ...]
    answers: tuple[ApprovalAnswer, ...]
    may_answer: tuple[str, ...]
    """Names of those whose word counts now."""
    subject: str = ""
    """What the `sub` of an issuer's token about it has to be."""
    owner: str = ""
    """Who answers for its tool."""
    gives: str = ""
    """What a kind of credential is for, in the words of who declared it; empty of any other tool."""
    narrows: str = ""
    """The approval that was answered with this action; empty when it narrows none."""
    retries: str = ""
    """Of a retry: the approval whose answer covers it."""
    narrowed_to: str = ""
    """The approval of the action that this one was answered with."""
    changed: tuple[Changed, ...] = ()
    """What differs between the two."""


class ApprovalSaid(Response, frozen=True, tag="approval-said", tag_field="is"):
    """The answer was taken."""

    approval: str
    action: str
    state: str
    missing: str


class PlanDetail(Response, frozen=True, tag="plan-detail", tag_field="is"):
    """One plan in full; the display makes its sheet and digests from this."""

    plan: str
    """Its id."""
    state: str
    used: int
    """How many of its steps were used."""
    digest: str
    canonical: str
    """The canonical bytes whose SHA-256 is the digest, as text."""
    missing: str
    """What is missing until it may be used, in words; empty when nothing is, or it is over."""
    may_answer: tuple[str, ...]
    """Names of those whose word counts for every step that is left now."""
    reason: str
    steps: tuple[ApprovalDetail, ...]
    """In order."""
    may_deny: tuple[str, ...] = ()
    """Names of those whose word counts for one of them at least: they can deny that, and by it the plan."""


class PlanProposed(Response, frozen=True, tag="plan-proposed", tag_field="is"):
    """Approvers are asked about the plan."""

    plan: str
    digest: str
    deadline: int


class PlanSaid(Response, frozen=True, tag="plan-said", tag_field="is"):
    """The answer to a plan was taken."""

    plan: str
    state: str
    missing: str
    denied: tuple[int, ...] = ()
    """The steps that it denied; what else was left is superseded."""


class HoldPush(Message, frozen=True, tag="hold-changed", tag_field="push"):
    """A held action that this connection waits for was answered, or is over."""

    action: str
    state: str
    reason: str = ""
