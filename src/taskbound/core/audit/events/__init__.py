"""The closed union of recordable events.

The wire law, pinned by ``tests/core/audit/events.golden.json``:

1. A kind is never reused, renamed or removed.
2. Fields are only appended, with a default, and a field that holds its default is not written, so old
   records read and re-encode unchanged.
3. A field is a text, an integer within ±(2^53-1), a boolean or a sequence of texts.
4. A reader refuses unknown kinds and fields.

Digests are SHA-256 in lowercase hex; instants are microseconds since the epoch. Events hold digests and
never arguments, answers or secrets, because leaves cannot be deleted. ``by`` names the actor, ``proof``
how the daemon authenticated the actor.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

from taskbound.core.audit.events.approval import (
    ApprovalEvent,
    ApprovalLimitsChanged,
    ApprovalProven,
    ApprovalShown,
    OperationRefused,
    PlanAnswered,
    PlanAsked,
    PlanChanged,
    PlanRefused,
)
from taskbound.core.audit.events.people import (
    AgentPeopleChanged,
    PeopleEvent,
    PersonActed,
    ToolApproversChanged,
    ToolOwnerChanged,
)
from taskbound.core.audit.events.standing import (
    AgentRiskChanged,
    CheckpointSigned,
    IdentityChanged,
    KillSwitchChanged,
    StandingEvent,
    ToolDeclared,
    ToolPinned,
    UpstreamDeclared,
    WriterStarted,
)
from taskbound.core.audit.events.token import (
    AdmissionEnded,
    ClientAdded,
    ClientAdmitted,
    ClientConsented,
    ClientDenied,
    ClientRemoved,
    CodeRefused,
    ConsentMistyped,
    TokenEvent,
    TokenIssued,
    TokenKeyRevoked,
    TokenKeyRotated,
    TokenRevoked,
)
from taskbound.core.audit.events.work import (
    ActionDecided,
    ActionReconciled,
    AmendmentAnswered,
    AmendmentAsked,
    AmendmentChanged,
    AmendmentShown,
    RefusalsDropped,
    TaskAccounted,
    TaskChanged,
    TaskFollowed,
    WorkEvent,
)

__all__ = [
    "EVENTS",
    "ActionDecided",
    "ActionReconciled",
    "AdmissionEnded",
    "AgentPeopleChanged",
    "AgentRiskChanged",
    "AmendmentAnswered",
    "AmendmentAsked",
    "AmendmentChanged",
    "AmendmentShown",
    "ApprovalLimitsChanged",
    "ApprovalProven",
    "ApprovalShown",
    "CheckpointSigned",
    "ClientAdded",
    "ClientAdmitted",
    "ClientConsented",
    "ClientDenied",
    "ClientRemoved",
    "CodeRefused",
    "ConsentMistyped",
    "Event",
    "IdentityChanged",
    "KillSwitchChanged",
    "OperationRefused",
    "PersonActed",
    "PlanAnswered",
    "PlanAsked",
    "PlanChanged",
    "PlanRefused",
    "RefusalsDropped",
    "TaskAccounted",
    "TaskChanged",
    "TaskFollowed",
    "TokenIssued",
    "TokenKeyRevoked",
    "TokenKeyRotated",
    "TokenRevoked",
    "ToolApproversChanged",
    "ToolDeclared",
    "ToolOwnerChanged",
    "ToolPinned",
    "UpstreamDeclared",
    "WriterStarted",
]

Event: TypeAlias = ApprovalEvent | PeopleEvent | StandingEvent | TokenEvent | WorkEvent
"""Everything that can be recorded."""

EVENTS: Final[dict[str, type[Event]]] = {one.kind: one for one in get_args(Event)}
"""The event of each kind."""
