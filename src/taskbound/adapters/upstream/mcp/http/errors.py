"""Why a server behind a URL is not reached, and why its answer is none."""

from __future__ import annotations

from taskbound.core.errors import UnavailableError


class NotReachedError(UnavailableError):
    """There is no connection to the server, or none that can be believed: nothing was sent."""

    code = "not-reached"
    remedy = "see that the server runs and that its address, certificate and key are those that were pinned"


class NoTokenError(NotReachedError):
    """The server wants a token, and there is none: nothing was sent."""

    code = "not-authorized"
    remedy = "see what the authorization server says: `taskbound audit tail`"


class BrokenAnswerError(Exception):
    """What came back is no answer: inside of the adapter only, which makes a `NoAnswer` of it."""

    def __init__(self, code: str, reason: str, detail: str = "") -> None:
        """Keep what a `NoAnswer` says."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.detail = detail


class UntakenTokenError(BrokenAnswerError):
    """The server does not take the token that came with a question of our own."""
