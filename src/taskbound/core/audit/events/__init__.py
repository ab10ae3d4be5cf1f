"""The closed union of recordable events.

The wire law, pinned by ``tests/core/audit/events.golden.json``:

1. A kind is never reused, renamed or removed.
2. Fields are only appended, with a default, and a field that holds its default is not written. Old records
   therefore read and re-encode unchanged.
3. A field is a text, an integer within ±(2^53-1), a boolean or a sequence of texts. JSON encoding keeps any
   text from ending a record or starting another (I-50).
4. A reader refuses unknown kinds and fields.

Digests are SHA-256 in lowercase hex; instants are microseconds since the epoch. Events hold digests and never
arguments, answers or secrets, because leaves cannot be deleted. ``by`` names the actor, ``proof`` how the
actor was authenticated.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

from taskbound.core.audit.events.approval import (
    ApprovalAnswered,
    ApprovalAsked,
    ApprovalChanged,
    ApprovalLimitsChanged,
    ApprovalNarrowed,
    ApprovalProven,
    ApprovalShown,
    OperationRefused,
    OutcomeRefused,
    PlanAnswered,
    PlanAsked,
    PlanChanged,
    PlanRefused,
    PolicyActivated,
    PolicyProposed,
    PolicyRebased,
    PolicyRefused,
    PolicyRolledBack,
    RequestRefused,
)
from taskbound.core.audit.events.people import (
    AccountEvent,
    AgentPeopleChanged,
    NamespaceChanged,
    PersonActed,
    PersonKeyChanged,
    PersonsLinked,
    ServiceEvent,
    ToolApproversChanged,
    ToolOwnerChanged,
    TrustEvent,
    WorkloadEvent,
)
from taskbound.core.audit.events.standing import (
    AgentCeilingChanged,
    AgentRiskChanged,
    CheckpointSigned,
    Delivery,
    GrantableChanged,
    GroupChanged,
    IdentityChanged,
    IdentityRegistered,
    IssuerAdded,
    IssuerRemoved,
    KillSwitchChanged,
    MonitorAcknowledged,
    StoreBegunAnew,
    TargetEvent,
    TemplateRemoved,
    TemplateSaved,
    ToolAccepted,
    ToolChanged,
    ToolDeclared,
    ToolPinned,
    UpstreamAdded,
    UpstreamDeclared,
    UpstreamRemoved,
    UpstreamSecretSet,
    UpstreamTokenTold,
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
    TokenIssued,
    TokenKeyRevoked,
    TokenKeyRotated,
    TokenRevoked,
)
from taskbound.core.audit.events.work import (
    ActionDecided,
    ActionOutcome,
    ActionReconciled,
    ActionRefusedMalformed,
    ActionUndecided,
    AmendmentAnswered,
    AmendmentAsked,
    AmendmentChanged,
    AmendmentShown,
    CredentialEvent,
    RefusalsDropped,
    RunRegistered,
    TaskAccounted,
    TaskAmended,
    TaskChanged,
    TaskFollowed,
    TaskStarted,
    TaskStepped,
)

__all__ = [
    "EVENTS",
    "ActionDecided",
    "ActionOutcome",
    "ActionReconciled",
    "ActionRefusedMalformed",
    "ActionUndecided",
    "AdmissionEnded",
    "AgentCeilingChanged",
    "AgentPeopleChanged",
    "AgentRiskChanged",
    "AmendmentAnswered",
    "AmendmentAsked",
    "AmendmentChanged",
    "AmendmentShown",
    "ApprovalAnswered",
    "ApprovalAsked",
    "ApprovalChanged",
    "ApprovalLimitsChanged",
    "ApprovalNarrowed",
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
    "Delivery",
    "Event",
    "GrantableChanged",
    "GroupChanged",
    "IdentityChanged",
    "IdentityRegistered",
    "IssuerAdded",
    "IssuerRemoved",
    "KillSwitchChanged",
    "MonitorAcknowledged",
    "NamespaceChanged",
    "OperationRefused",
    "OutcomeRefused",
    "PersonActed",
    "PersonKeyChanged",
    "PersonsLinked",
    "PlanAnswered",
    "PlanAsked",
    "PlanChanged",
    "PlanRefused",
    "PolicyActivated",
    "PolicyProposed",
    "PolicyRebased",
    "PolicyRefused",
    "PolicyRolledBack",
    "RefusalsDropped",
    "RequestRefused",
    "RunRegistered",
    "StoreBegunAnew",
    "TaskAccounted",
    "TaskAmended",
    "TaskChanged",
    "TaskFollowed",
    "TaskStarted",
    "TaskStepped",
    "TemplateRemoved",
    "TemplateSaved",
    "TokenIssued",
    "TokenKeyRevoked",
    "TokenKeyRotated",
    "TokenRevoked",
    "ToolAccepted",
    "ToolApproversChanged",
    "ToolChanged",
    "ToolDeclared",
    "ToolOwnerChanged",
    "ToolPinned",
    "UpstreamAdded",
    "UpstreamDeclared",
    "UpstreamRemoved",
    "UpstreamSecretSet",
    "UpstreamTokenTold",
    "WriterStarted",
]

Event: TypeAlias = (
    AccountEvent
    | WorkloadEvent
    | WriterStarted
    | IdentityRegistered
    | IdentityChanged
    | AgentCeilingChanged
    | GrantableChanged
    | GroupChanged
    | AgentPeopleChanged
    | AgentRiskChanged
    | NamespaceChanged
    | PersonActed
    | PersonKeyChanged
    | PersonsLinked
    | MonitorAcknowledged
    | UpstreamAdded
    | UpstreamDeclared
    | UpstreamRemoved
    | UpstreamSecretSet
    | UpstreamTokenTold
    | ToolPinned
    | ToolChanged
    | ToolDeclared
    | ToolAccepted
    | ToolApproversChanged
    | ToolOwnerChanged
    | IssuerAdded
    | IssuerRemoved
    | ServiceEvent
    | TrustEvent
    | TemplateSaved
    | TemplateRemoved
    | TaskStarted
    | TaskChanged
    | TaskStepped
    | TaskAmended
    | RunRegistered
    | TaskAccounted
    | TaskFollowed
    | CredentialEvent
    | TargetEvent
    | TokenIssued
    | TokenRevoked
    | TokenKeyRotated
    | TokenKeyRevoked
    | ActionRefusedMalformed
    | ActionUndecided
    | RefusalsDropped
    | RequestRefused
    | ActionDecided
    | ActionOutcome
    | OutcomeRefused
    | ApprovalAsked
    | ApprovalAnswered
    | ApprovalShown
    | ApprovalProven
    | ApprovalLimitsChanged
    | ApprovalChanged
    | ApprovalNarrowed
    | AmendmentAsked
    | AmendmentShown
    | AmendmentAnswered
    | AmendmentChanged
    | PlanAsked
    | PlanRefused
    | PlanAnswered
    | PlanChanged
    | ActionReconciled
    | KillSwitchChanged
    | PolicyProposed
    | PolicyRefused
    | PolicyActivated
    | PolicyRolledBack
    | OperationRefused
    | PolicyRebased
    | CheckpointSigned
    | StoreBegunAnew
    | Delivery
    | ClientAdded
    | AdmissionEnded
    | ClientAdmitted
    | ClientConsented
    | ClientDenied
    | CodeRefused
    | ConsentMistyped
    | ClientRemoved
)
"""Everything that can be recorded."""

EVENTS: Final[dict[str, type[Event]]] = {one.kind: one for one in get_args(Event)}
"""The event of each kind."""
