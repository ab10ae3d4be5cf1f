"""Why a question of a server is not put, and why an answer to one is not taken."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class UnfitQuestionError(MalformedError):
    """A server asks what MCP has no question for, or what can't be shown as it is."""

    code = "unfit-question"
    remedy = "tell whoever wrote the server; nothing was shown to anyone"


class StrayQuestionError(DeniedError):
    """A server asks while no call to it is open, so that it has nobody to ask."""

    code = "stray-question"
    remedy = "tell whoever wrote the server: it may ask while it works on a call, and no longer"


class AmbiguousQuestionError(DeniedError):
    """Several calls to the server are open, and nothing says for which of their clients the question is."""

    code = "ambiguous-question"
    remedy = "make one call to this server at a time"


class UnableClientError(DeniedError):
    """The client has not said that it can answer such a question, or can't be asked on this call's way."""

    code = "unable-client"
    remedy = "use a client that declares the capability and, over HTTP, takes streams of events"


class AsksTooOftenError(UnavailableError):
    """A server asks more than one call is worth."""

    code = "asks-too-often"
    remedy = "make another call; if it stays so, ask the person who pinned the server to look at it"


class UnknownStateError(MalformedError):
    """The state that came with answers is none that was given out for this request and is still open."""

    code = "unknown-state"
    remedy = "send the request once more without `inputResponses` and `requestState`"


class BadAnswersError(MalformedError):
    """What came as answers does not answer what was asked."""

    code = "bad-answers"
    remedy = "answer each question by its key as MCP says; the state stays good until then"
