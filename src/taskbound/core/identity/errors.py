"""Why somebody is not who they would have to be, or may not do what they ask."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class BadNameError(MalformedError):
    """A name that could be mistaken for another or can't be shown."""

    code = "bad-name"
    remedy = "use 1 to 64 of a-z, 0-9 and `-`, starting with a letter or digit"


class UnknownIdentityError(DeniedError):
    """Nobody of this name is known in the namespace."""

    code = "unknown-identity"
    remedy = "list them with `taskbound agent list` or `taskbound person list`"


class UnprovenError(DeniedError):
    """The caller is not who they would have to be."""

    code = "unproven"


class NoProofError(DeniedError):
    """A request over the network shows no proof of who asks."""

    code = "no-proof"
    remedy = "ask `/oauth/token` for a token, and send it with a proof of the key that it is bound to"


class InactiveAgentError(DeniedError):
    """The agent is registered or suspended, or lacks somebody who answers for it."""

    code = "inactive-agent"
    remedy = "see what it lacks with `taskbound agent show`"


class MonitorCodeError(DeniedError):
    """The code that was typed is not the one that the monitor received."""

    code = "wrong-monitor-code"
    remedy = "have a new one delivered with `taskbound agent activate`"


class NotOwnerError(DeniedError):
    """Somebody does what only the owner of an agent does."""

    code = "not-owner"
    remedy = "ask its owner, whom `taskbound agent show` names"


class BadRiskError(MalformedError):
    """A level of risk, or the reason for one, that can't be."""

    code = "bad-risk"
    remedy = "say `low`, `medium` or `high`"


class NotAnsweringError(DeniedError):
    """Somebody raises the risk of an agent who does not answer for it, or lowers it who does not approve."""

    code = "not-answering"
    remedy = "ask one of its approvers, whom `taskbound agent show` names"


class OwnRiskError(DeniedError):
    """Somebody would lower alone the level of risk that they said, where another approves for the agent."""

    code = "own-risk"
    remedy = "ask another of its approvers, whom `taskbound agent show` names"


class SameRiskError(DeniedError):
    """The agent is of this risk already."""

    code = "same-risk"
    remedy = "see it with `taskbound agent show`; say another level"
