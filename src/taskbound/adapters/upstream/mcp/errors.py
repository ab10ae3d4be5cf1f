"""Why a server can't be pinned, started, listed or believed."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class NoSuchCommandError(MalformedError):
    """There is no program of this name."""

    code = "no-such-command"
    remedy = "give the path of the program, or see that it stands in PATH"


class NoSuchModuleError(MalformedError):
    """The interpreter knows no module of this name."""

    code = "no-such-module"
    remedy = "install it for the interpreter that the command names"


class FloatingVersionError(MalformedError):
    """A runner would fetch whatever is newest; the remedy says how to lock it."""

    code = "floating-version"


class UnpinnableError(MalformedError):
    """What the command would run can't be told from the command."""

    code = "unpinnable"
    remedy = "give the program itself and its arguments; declare variables with `--env`"


class LimitNotKeptError(MalformedError):
    """This system does not keep a limit that was declared."""

    code = "limit-not-kept"
    remedy = "leave the limit out, or run the server under an account or on a system that keeps it"


class SecretShownError(DeniedError):
    """A server that was looked at with a secret showed it, in a definition, a note or an error."""

    code = "secret-shown"
    remedy = "think of the secret as known; have the server fixed, or add it with the slot empty"


class ServerChangedError(DeniedError):
    """A file that the server is pinned to is gone, or is not what it was."""

    code = "server-changed"
    remedy = "ask the person who pinned it to look at the change, and to add the server again"


class EraChangedError(DeniedError):
    """The server speaks another revision of MCP than it did when it was pinned."""

    code = "era-changed"
    remedy = "ask the person who pinned it to add the server again"


class StartFailedError(UnavailableError):
    """The server did not start, or did not answer the first questions."""

    code = "start-failed"
    remedy = "start its command by hand and see what it says"

    def __init__(self, message: str, *, detail: str = "", remedy: str = "") -> None:
        """Keep what else is known beside the message."""
        super().__init__(message, remedy=remedy)
        self.detail = detail


class NoStreamableHttpError(UnavailableError):
    """The server refuses streamable HTTP, as one does that speaks only HTTP with SSE (MCP 2024-11-05)."""

    code = "no-streamable-http"
    remedy = "give the URL at which it speaks streamable HTTP; one that has none needs a bridge before it"


class ServerLostError(UnavailableError):
    """The server ended, or can't be believed any more, with a question open."""

    code = "server-lost"
    remedy = "try again: it is started anew"

    def __init__(self, message: str, *, detail: str = "") -> None:
        """Keep what else is known beside the message: the server's own last words, escaped."""
        super().__init__(message)
        self.detail = detail


class LevelRefusedError(UnavailableError):
    """The server says that it logs, and does not take a level to log from."""

    code = "level-refused"
    remedy = "have the server fixed: MCP, Logging"


class ListRefusedError(UnavailableError):
    """The server's list of tools does not end, or is no list."""

    code = "list-refused"
    remedy = "have the server fixed: MCP, Tools, Listing Tools"
