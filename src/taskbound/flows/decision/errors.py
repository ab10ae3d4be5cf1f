"""Why a tool can't be called at all, or not so."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class OutcomeWatchedError(DeniedError):
    """Whoever asks will not tell what came of it, and of this tool that is wanted."""

    code = "outcome-watched"
    remedy = (
        "ask with `POST /v1/actions` and tell the outcome, or have the tool declared `outcome: unwatched` in"
        " its tool file"
    )


class OutcomeUnwatchedError(DeniedError):
    """Nobody tells what comes of this tool's calls, and whoever asks would."""

    code = "outcome-unwatched"
    remedy = "ask by AuthZEN (`/access/v1/evaluation`), or have the tool declared `outcome: watched`"


class UnknownToolError(DeniedError):
    """No tool of this name is pinned for this agent."""

    code = "unknown-tool"
    remedy = "use a tool that tools/list names"


class ToolChangedError(DeniedError):
    """The server shows another definition of the tool than the one that was pinned."""

    code = "tool-changed"
    remedy = "ask the person to look at `taskbound tool diff` and to accept it or not"


class ToolWithoutOwnerError(DeniedError):
    """A tool that acts has nobody who answers for it (law 9)."""

    code = "tool-without-owner"
    remedy = "ask the person to say who answers for it with `taskbound tool declare TOOL --owner PERSON`"


class NotCanonicalError(MalformedError):
    """The argument bytes are not their own canonical form: what was judged would not be what runs."""

    code = "not-canonical"
    remedy = "send the arguments as RFC 8785 writes them"
