"""A person's answer to one held action: what is asked, who may answer, what is signed, and its one use."""

from __future__ import annotations

from taskbound.core.approval.errors import (
    AlreadyAnsweredError,
    ApprovalOverError,
    BadStatementError,
    DeniedBeforeError,
    NoApproverError,
    NotEntitledError,
    OtherQuestionError,
    StatementTimeError,
    TooLongToShowError,
    TooManyHoldsError,
    UnknownApprovalError,
    UnliftableError,
    UnreadableQuestionError,
)
from taskbound.core.approval.operand import FINDINGS, Operand, ProbeKind, differing
from taskbound.core.approval.question import (
    AGENT,
    APPROVAL_VERSION,
    Need,
    NeedKind,
    Question,
    parse_lifter,
    parse_question,
)
from taskbound.core.approval.quorum import (
    Answer,
    Circle,
    askable,
    missing,
    require_askable,
    require_entitled,
    yes_of,
)
from taskbound.core.approval.show import require_showable
from taskbound.core.approval.standing import Befallen, Ground, befallen
from taskbound.core.approval.state import (
    APPROVAL_TRANSITIONS,
    BEFALLS,
    OPEN,
    ApprovalEvent,
    ApprovalState,
    advance_approval,
)
from taskbound.core.approval.statement import (
    AnswerKind,
    Statement,
    parse_statement,
    render_statement,
    require_answers,
)

__all__ = [
    "AGENT",
    "APPROVAL_TRANSITIONS",
    "APPROVAL_VERSION",
    "BEFALLS",
    "FINDINGS",
    "OPEN",
    "AlreadyAnsweredError",
    "Answer",
    "AnswerKind",
    "ApprovalEvent",
    "ApprovalOverError",
    "ApprovalState",
    "BadStatementError",
    "Befallen",
    "Circle",
    "DeniedBeforeError",
    "Ground",
    "Need",
    "NeedKind",
    "NoApproverError",
    "NotEntitledError",
    "Operand",
    "OtherQuestionError",
    "ProbeKind",
    "Question",
    "Statement",
    "StatementTimeError",
    "TooLongToShowError",
    "TooManyHoldsError",
    "UnknownApprovalError",
    "UnliftableError",
    "UnreadableQuestionError",
    "advance_approval",
    "askable",
    "befallen",
    "differing",
    "missing",
    "parse_lifter",
    "parse_question",
    "parse_statement",
    "render_statement",
    "require_answers",
    "require_askable",
    "require_entitled",
    "require_showable",
    "yes_of",
]
