"""Errors of the egress, and the faults that it reports to a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from taskbound.core.tool.slot import Leaks


HELD_BACK: Final = "the server said a secret that it or another was given, and it was held back"


class NotStartedError(MalformedError):
    """The server was not started yet, or was started twice."""

    code = "not-started"
    remedy = "start it first, once for each connection"


class OtherPinError(DeniedError):
    """The server's pin differs from the one that the gateway sent."""

    code = "other-pin"
    remedy = "ask the daemon anew how it is pinned"


class SecretMissingError(DeniedError):
    """A slot of the server is empty."""

    code = "secret-missing"
    remedy = "have the person who pinned it fill the slot: `taskbound upstream secret SERVER SLOT`"


class NoSingleTaskError(DeniedError):
    """A server with credentials must start for exactly one task."""

    code = "no-single-task"
    remedy = "start it for one task of the gateway's process"


class NotGivenError(DeniedError):
    """The credential has no field for this slot."""

    code = "not-given"
    remedy = "pin the server with a name that the kind of credential gives"


class SecretChangedError(UnavailableError):
    """A slot value was set or removed after the server started."""

    code = "secret-changed"
    remedy = "try again: it is started anew with what is in the slot now"


class SecretInAnswerError(UnavailableError):
    """A server's output contains one of its secrets."""

    code = "secret-in-answer"
    remedy = "ask the person who pinned the server to look at it, and to think of the secret as known"


class TokenNotTakenError(UnavailableError):
    """The server rejects its authorization server's tokens, or its connection is closed."""

    code = "token-not-taken"
    remedy = "see that the server is the resource that the client is registered for, and try again later"


class OtherActError(DeniedError):
    """The permit is for another call."""

    code = "other-act"
    remedy = "send the bytes that were decided on, to the server that they were decided for"


class PermitUsedError(DeniedError):
    """The permit was used, or is older than this process, which can't know whether it was."""

    code = "permit-used"
    remedy = "have the call decided anew"


class PermitLapsedError(UnavailableError):
    """The permit expired before the call was sent."""

    code = "permit-over"
    remedy = "have the call decided anew"


def fault_of(error: TaskboundError) -> Fault:
    """Returns the error as a fault; the daemon's own faults are passed on."""
    if isinstance(error, RefusedByDaemonError):
        return error.fault
    return Fault(
        code=error.code,
        message=error.message,
        advice=error.advice,
        where=error.where,
        family=error.family,
    )


def fault_without(error: TaskboundError, leaks: Leaks) -> Fault:
    """Returns the error as a fault without text that may contain a secret."""
    fault = fault_of(error)
    detail = str(getattr(error, "detail", ""))
    if leaks.cut_in(fault.message, fault.advice, detail):
        return fault_of(SecretInAnswerError(HELD_BACK))
    return msgspec.structs.replace(fault, message=f"{fault.message}; it said: {detail}") if detail else fault
