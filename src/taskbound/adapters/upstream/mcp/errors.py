"""Errors of pinning, starting and using a server."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class NoSuchCommandError(MalformedError):
    """The program does not exist."""

    code = "no-such-command"
    remedy = "give the path of the program, or see that it stands in PATH"


class NoSuchModuleError(MalformedError):
    """The interpreter finds no such module."""

    code = "no-such-module"
    remedy = "install it for the interpreter that the command names"


class FloatingVersionError(MalformedError):
    """A runner would fetch the newest version; the remedy says how to lock it."""

    code = "floating-version"


class UnpinnableError(MalformedError):
    """The command does not determine what runs."""

    code = "unpinnable"
    remedy = "give the program itself and its arguments; declare variables with `--env`"


class LimitNotKeptError(MalformedError):
    """This system can't enforce a declared limit."""

    code = "limit-not-kept"
    remedy = "leave the limit out, or run the server under an account or on a system that keeps it"


class SecretShownError(DeniedError):
    """A probed server output its secret in a definition, note or error."""

    code = "secret-shown"
    remedy = "think of the secret as known; have the server fixed, or add it with the slot empty"


class ServerChangedError(DeniedError):
    """A pinned file is missing or changed."""

    code = "server-changed"
    remedy = "ask the person who pinned it to look at the change, and to add the server again"


class EraChangedError(DeniedError):
    """The server speaks another MCP revision than the pinned one."""

    code = "era-changed"
    remedy = "ask the person who pinned it to add the server again"


class StartFailedError(UnavailableError):
    """The server did not start, or did not answer the first requests."""

    code = "start-failed"
    remedy = "start its command by hand and see what it says"

    def __init__(self, message: str, *, detail: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.detail = detail


class NoStreamableHttpError(UnavailableError):
    """The server refuses streamable HTTP; it may speak only HTTP with SSE (MCP 2024-11-05)."""

    code = "no-streamable-http"
    remedy = "give the URL at which it speaks streamable HTTP; one that has none needs a bridge before it"


class ServerLostError(UnavailableError):
    """The server ended, or broke the protocol, with a request open."""

    code = "server-lost"
    remedy = "try again: it is started anew"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class LevelRefusedError(UnavailableError):
    """The server declares logging but refuses a level."""

    code = "level-refused"
    remedy = "have the server fixed: MCP, Logging"


class ListRefusedError(UnavailableError):
    """The server's list is malformed or endless."""

    code = "list-refused"
    remedy = "have the server fixed: MCP, Tools, Listing Tools"
