"""Errors of approval: impossible questions, answers that do not count, unusable approvals."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class UnliftableError(DeniedError):
    """A policy holds the action with a lifter that this installation cannot provide."""

    code = "not-liftable"
    remedy = "ask the owner of the policies: `confirm`, `approval:GROUP` or `evidence:jws` can be given"


class NoApproverError(DeniedError):
    """Too few people may answer the question, so the action is refused and not held."""

    code = "no-approver"
    remedy = "put persons who did not ask for the task into the group that the policy names"


class TooLongToShowError(DeniedError):
    """The action is too long to show to a person in full (law 6)."""

    code = "too-long-to-show"
    remedy = "put large content into a file, and give its name"


class TooManyHoldsError(DeniedError):
    """The task already has the maximum number of open questions."""

    code = "too-many-holds"
    remedy = "answer some of them, or withdraw them, and resume the task with `taskbound task resume`"


class TooManyQuestionsError(DeniedError):
    """The agent already asked the maximum number of questions within an hour."""

    code = "too-many-questions"
    remedy = "see `taskbound approval stats`, and resume the task with `taskbound task resume`"


class DeniedBeforeError(DeniedError):
    """A person denied this exact action in this task; a denial is final."""

    code = "approval-denied"
    remedy = "do something else; do not ask for the same action again"


class NarrowedBeforeError(DeniedError):
    """A person narrowed this exact action in this task; that answer is final."""

    code = "approval-narrowed"
    remedy = "look what came of the narrower one; do not ask for the same action again"


class NotNarrowerError(DeniedError):
    """The proposed action is not a narrowing of the held action."""

    code = "not-narrower"
    remedy = "lower amounts that a `total` of the covering grant counts, and change nothing else"


class NarrowedRefusedError(DeniedError):
    """The narrowed action was decided like any other and refused."""

    code = "narrowed-refused"
    remedy = "narrow it otherwise, or deny it"


class ApprovalOverError(DeniedError):
    """The question was answered, expired or was withdrawn; it accepts no further answer."""

    code = "approval-over"
    remedy = "look at it with `taskbound approval show`"


class UnknownApprovalError(DeniedError):
    """No approval has this id."""

    code = "unknown-approval"
    remedy = "list them with `taskbound approval list`"


class NotEntitledError(DeniedError):
    """This person's answer does not count for this question."""

    code = "not-entitled"
    remedy = "a person that `taskbound approval show` names must answer"


class AlreadyAnsweredError(DeniedError):
    """The same human already answered, possibly with another key or account."""

    code = "already-answered"
    remedy = "another person has to answer"


class BadStatementError(MalformedError):
    """The signed text is not a statement that answers a question."""

    code = "bad-statement"
    remedy = "sign what `taskbound approval statement` writes, byte for byte"


class OtherQuestionError(DeniedError):
    """The statement answers a different question: the digests differ."""

    code = "other-question"
    remedy = "look at the question again with `taskbound approval show`, and sign what it says now"


class StatementTimeError(DeniedError):
    """The statement's time is before the question or in the future."""

    code = "statement-time"
    remedy = "compare the clocks of both machines, and sign again"


class UnreadableQuestionError(MalformedError):
    """The bytes are not a question."""

    code = "bad-question"


class BadProbeError(MalformedError):
    """The declaration of a probe is malformed."""

    code = "bad-probe"
    remedy = "see `taskbound tool declare --help` and docs/reference/probes.md for the ways to write one"


class OperandOutsideError(DeniedError):
    """The argument names something outside the declared folder."""

    code = "operand-outside"
    remedy = "name something beneath the folder that was declared for this argument, without links out of it"


class OperandUnreadableError(DeniedError):
    """The operand of an argument cannot be read, so no approval is requested and nothing runs."""

    code = "operand-unreadable"
    remedy = "name one thing of the declared kind that the daemon's account may read"


class BadPlanError(MalformedError):
    """The submitted plan is malformed."""

    code = "bad-plan"
    remedy = "write a list of steps, each with `tool` and `arguments`; see docs/guides/approvals.md"


class PlanRefusedError(DeniedError):
    """The plan, or one of its steps, cannot be approved by people."""

    code = "plan-refused"
    remedy = "mend that step, or leave it out, and propose the plan again"


class PlanOpenError(DeniedError):
    """The task has unanswered questions, so a plan would not have a defined order."""

    code = "plan-open"
    remedy = "see `taskbound approval list`: have them answered, or withdraw them, and propose the plan again"


class SignedTogetherError(DeniedError):
    """The question is a step of a plan and must be answered with the plan."""

    code = "signed-together"
    remedy = "look at the plan with `taskbound approval show`, and sign or deny that"


class UnreadablePlanError(MalformedError):
    """The bytes are not a plan."""

    code = "unreadable-plan"
