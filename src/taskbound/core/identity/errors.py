"""Errors of identity: failed authentication and missing authorization."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class BadNameError(MalformedError):
    """The name could be mistaken for another or cannot be displayed."""

    code = "bad-name"
    remedy = "use 1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit"


class UnknownIdentityError(DeniedError):
    """No identity in the namespace has this name."""

    code = "unknown-identity"
    remedy = "list them with `taskbound agent list` or `taskbound person list`"


class UnprovenError(DeniedError):
    """The caller is not authenticated as required."""

    code = "unproven"


class NoProofError(DeniedError):
    """A network request carries no credential."""

    code = "no-proof"
    remedy = "ask `/oauth/token` for a token, and send it with a proof of the key that it is bound to"


class InactiveAgentError(DeniedError):
    """The agent is not active, or lacks an owner, approver or monitor."""

    code = "inactive-agent"
    remedy = "see what it lacks with `taskbound agent show`"


class MonitorCodeError(DeniedError):
    """The typed code differs from the one sent to the monitor."""

    code = "wrong-monitor-code"
    remedy = "have a new one delivered with `taskbound agent activate`"


class NotOwnerError(DeniedError):
    """Only the owner of the agent may do this."""

    code = "not-owner"
    remedy = "ask its owner, whom `taskbound agent show` names"


class BadRiskError(MalformedError):
    """The risk level or its reason is malformed."""

    code = "bad-risk"
    remedy = "say `low`, `medium` or `high`"


class NotAnsweringError(DeniedError):
    """Only the owner or an approver may raise an agent's risk, and only an approver may lower it."""

    code = "not-answering"
    remedy = "ask one of its approvers, whom `taskbound agent show` names"


class OwnRiskError(DeniedError):
    """A person lowers a risk level that they set, while another human approves for the agent."""

    code = "own-risk"
    remedy = "ask another of its approvers, whom `taskbound agent show` names"


class SameRiskError(DeniedError):
    """The agent already has this risk level."""

    code = "same-risk"
    remedy = "see it with `taskbound agent show`; say another level"
