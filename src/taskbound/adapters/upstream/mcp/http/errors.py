"""Errors of HTTP connections and answers."""

from __future__ import annotations

from taskbound.core.errors import UnavailableError


class NotReachedError(UnavailableError):
    """There is no trusted connection to the server; nothing was sent."""

    code = "not-reached"
    remedy = "see that the server runs and that its address, certificate and key are those that were pinned"


class NoTokenError(NotReachedError):
    """The server needs a token and none is available; nothing was sent."""

    code = "not-authorized"
    remedy = "see what the authorization server says: `taskbound audit tail`"


class BrokenAnswerError(Exception):
    """The answer is invalid; used inside the adapter, which turns it into a `NoAnswer`."""

    def __init__(self, code: str, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.detail = detail


class UntakenTokenError(BrokenAnswerError):
    """The server rejected the token of one of the gateway's own requests."""
