"""Errors of tools that cannot be called, or not in this way."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class OutcomeWatchedError(DeniedError):
    """The tool requires a reported outcome, which this caller will not report."""

    code = "outcome-watched"
    remedy = (
        "ask with `POST /v1/actions` and tell the outcome, or have the tool declared `outcome: unwatched` in"
        " its tool file"
    )


class OutcomeUnwatchedError(DeniedError):
    """The tool's outcomes are not reported, and this caller would."""

    code = "outcome-unwatched"
    remedy = "ask by AuthZEN (`/access/v1/evaluation`), or have the tool declared `outcome: watched`"


class UnknownToolError(DeniedError):
    """No tool of this name is pinned for this agent."""

    code = "unknown-tool"
    remedy = "use a tool that tools/list names"


class ToolChangedError(DeniedError):
    """The server shows a definition that differs from the pinned one."""

    code = "tool-changed"
    remedy = "ask the person to look at `taskbound tool diff` and to accept it or not"


class ToolWithoutOwnerError(DeniedError):
    """A tool that acts has no owner (law 9)."""

    code = "tool-without-owner"
    remedy = "ask the person to say who answers for it with `taskbound tool declare TOOL --owner PERSON`"


class NotCanonicalError(MalformedError):
    """The argument bytes are not their own canonical form."""

    code = "not-canonical"
    remedy = "send the arguments as RFC 8785 writes them"
