"""Why a question can't be asked, an answer does not count, or an approval is not used."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class UnliftableError(DeniedError):
    """What would lift the hold is nothing that can be given here."""

    code = "not-liftable"
    remedy = "ask the owner of the policies: `confirm`, `approval:GROUP` or `evidence:jws` can be given"


class NoApproverError(DeniedError):
    """Nobody may answer the question, or too few: silence refuses."""

    code = "no-approver"
    remedy = "put persons who did not ask for the task into the group that the policy names"


class TooLongToShowError(DeniedError):
    """The action is longer than what a person can be shown whole (law 6)."""

    code = "too-long-to-show"
    remedy = "put large content into a file, and give its name"


class TooManyHoldsError(DeniedError):
    """The task has as many open questions as one may have."""

    code = "too-many-holds"
    remedy = "answer some of them, or withdraw them, and resume the task with `taskbound task resume`"


class TooManyQuestionsError(DeniedError):
    """The agent has asked people as often within an hour as one may."""

    code = "too-many-questions"
    remedy = "see `taskbound approval stats`, and resume the task with `taskbound task resume`"


class DeniedBeforeError(DeniedError):
    """A person has denied exactly this action in this task, and a denial is final."""

    code = "approval-denied"
    remedy = "do something else; do not ask for the same action again"


class NarrowedBeforeError(DeniedError):
    """A person has answered exactly this action in this task with a narrower one, and that is final."""

    code = "approval-narrowed"
    remedy = "look what came of the narrower one; do not ask for the same action again"


class NotNarrowerError(DeniedError):
    """What the person wants instead is not the held action for less."""

    code = "not-narrower"
    remedy = "lower amounts that a `total` of the covering grant counts, and change nothing else"


class NarrowedRefusedError(DeniedError):
    """The narrower action was decided like any other, and is refused."""

    code = "narrowed-refused"
    remedy = "narrow it otherwise, or deny it"


class ApprovalOverError(DeniedError):
    """The question is answered, over, or was withdrawn: nothing more can be said to it."""

    code = "approval-over"
    remedy = "look at it with `taskbound approval show`"


class UnknownApprovalError(DeniedError):
    """No approval has this id."""

    code = "unknown-approval"
    remedy = "list them with `taskbound approval list`"


class NotEntitledError(DeniedError):
    """This person's answer does not count for this question."""

    code = "not-entitled"
    remedy = "somebody whom `taskbound approval show` names has to answer"


class AlreadyAnsweredError(DeniedError):
    """The same human has answered already, perhaps with another key or account."""

    code = "already-answered"
    remedy = "another person has to answer"


class BadStatementError(MalformedError):
    """What was signed is no statement that answers a question."""

    code = "bad-statement"
    remedy = "sign what `taskbound approval statement` writes, byte for byte"


class OtherQuestionError(DeniedError):
    """What was signed answers another question than the one that is open: the digests differ."""

    code = "other-question"
    remedy = "look at the question again with `taskbound approval show`, and sign what it says now"


class StatementTimeError(DeniedError):
    """The statement says that it was made before the question was asked, or after now."""

    code = "statement-time"
    remedy = "compare the clocks of both machines, and sign again"


class UnreadableQuestionError(MalformedError):
    """The bytes are not a question."""

    code = "bad-question"


class BadProbeError(MalformedError):
    """What is to be looked at behind an argument is not said as it has to be."""

    code = "bad-probe"
    remedy = "see `taskbound tool declare --help` and docs/reference/probes.md for the ways to write one"


class OperandOutsideError(DeniedError):
    """What an argument names is not beneath the folder that a person declared for it."""

    code = "operand-outside"
    remedy = "name something beneath the folder that was declared for this argument, without links out of it"


class OperandUnreadableError(DeniedError):
    """What an argument names can't be looked at, so nobody can be asked about it, and nothing runs."""

    code = "operand-unreadable"
    remedy = "name one thing of the declared kind that the daemon's account may read"


class BadPlanError(MalformedError):
    """What was given is no plan."""

    code = "bad-plan"
    remedy = "write a list of steps, each with `tool` and `arguments`; see docs/guides/approvals.md"


class PlanRefusedError(DeniedError):
    """People are not asked about the plan: a step of it, or all of it, is nothing that they could answer."""

    code = "plan-refused"
    remedy = "mend that step, or leave it out, and propose the plan again"


class PlanOpenError(DeniedError):
    """The task has questions that nobody has answered: with a plan beside them nothing would be in order."""

    code = "plan-open"
    remedy = "see `taskbound approval list`: have them answered, or withdraw them, and propose the plan again"


class SignedTogetherError(DeniedError):
    """The question is a step of a plan, which is answered as a whole."""

    code = "signed-together"
    remedy = "look at the plan with `taskbound approval show`, and sign or deny that"


class UnreadablePlanError(MalformedError):
    """The bytes are not a plan."""

    code = "unreadable-plan"
