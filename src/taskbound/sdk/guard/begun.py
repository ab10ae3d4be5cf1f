"""Tasks that a program starts over the network with a token it was given.

A person's token starts a task in their name; another agent's token, which must name this agent, starts a
child task. The template and the token's subject limit both. The task always has a heartbeat, which ends it
when the program is gone or the start's answer was lost. The start is not retried, since two tasks would
run.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.token.exchange import ACCESS_TOKEN
from taskbound.core.token.values import DETAILS
from taskbound.sdk.guard.errors import TaskNotEndedError, TaskNotStartedError
from taskbound.sdk.guard.flow import Pause, Say
from taskbound.sdk.guard.holder import FAILED, OK, TOO_MANY, ApiLostError, Prove, object_of, text_of, token_of

if TYPE_CHECKING:
    from taskbound.sdk.guard.flow import Flow
    from taskbound.sdk.guard.holder import Granted, Holder
    from taskbound.sdk.guard.proof import SubjectToken
    from taskbound.sdk.guard.task import Order


_WATCH: Final = 60
"""Default seconds of a heartbeat and of its grace."""
_BY_ITSELF: Final = "a task may have been started; without heartbeats it ends by itself"
_END: Final = "/v1/task/end"
_OWED: Final = 15.0
"""Seconds for which an end is said again: a block that is left goes on, and the heartbeat ends its task."""
_PAUSE: Final = 0.25


def begun(order: Order, holder: Holder, subject: SubjectToken) -> Flow[Granted]:
    """Returns a new task; after ApiLostError the task may have been started."""
    if order.scope is not None or not order.template:
        raise TaskNotStartedError(
            "no task was started: over the network one is made of a template",
            remedy="give `template=`; `taskbound template save` keeps a scope as one",
        )
    if order.evidence:
        raise TaskNotStartedError(
            "no task was started: what a task rests on is said by a person",
            remedy="have them start it with `taskbound task start --evidence`, and join it by `task=`",
        )
    details = {
        "type": DETAILS,
        "template": order.template,
        "purpose": order.purpose,
        "heartbeat": order.heartbeat or _WATCH,
        "grace": order.grace or _WATCH,
        **({"seconds": order.seconds} if order.seconds else {}),
    }
    text: str = yield Say(what=Prove(proof=subject))
    try:
        asked, answer = yield from holder.exchanged(
            {
                "subject_token": text,
                "subject_token_type": ACCESS_TOKEN,
                "authorization_details": json.dumps([details]),
            }
        )
    except ApiLostError as error:
        raise (_perhaps(error.message) if error.sent else error) from error
    if answer.status >= FAILED:
        raise _perhaps(f"the API answered with status {answer.status}")
    if answer.status != OK:
        said = object_of(answer)
        words = text_of(said, "error_description") or text_of(said, "error") or f"status {answer.status}"
        raise TaskNotStartedError(f"no task was started: {words}", remedy=_remedy(text_of(said, "error")))
    if not token_of(answer):
        raise _perhaps("the API answered with no token")
    granted = holder.keep(asked, answer, "")
    if not granted.task:
        holder.forget()
        unnamed = TaskNotStartedError("no task was started: the daemon does not say which one it would be")
        unnamed.add_note(_BY_ITSELF)
        raise unnamed
    return granted


def given_up(holder: Holder, how: str, reason: str) -> Flow[None]:
    """Ends the holder's task with a token of its own; may be repeated; raises TaskNotEndedError."""
    body, end = canonical({"how": how, "reason": reason}), time.monotonic() + _OWED
    while True:
        try:
            answer = yield from holder.shown("POST", _END, body, late=True)
        except UnavailableError as error:
            why = error.message
        except TaskboundError as error:
            raise _not_ended(holder.task, f"{error.message} [{error.code}]", error.advice) from error
        else:
            if answer.status == OK:
                return
            said = object_of(answer)
            why = text_of(said, "detail") or f"status {answer.status}"
            if answer.status < FAILED and answer.status != TOO_MANY:
                code = text_of(said, "code")
                raise _not_ended(holder.task, f"{why} [{code}]" if code else why, text_of(said, "advice"))
        if time.monotonic() >= end:
            raise _not_ended(holder.task, why, "")
        yield Pause(seconds=_PAUSE)


def _perhaps(why: str) -> ApiLostError:
    error = ApiLostError(why, sent=True)
    error.add_note(_BY_ITSELF)
    return error


def _not_ended(task: str, why: str, remedy: str) -> TaskNotEndedError:
    return TaskNotEndedError(f"the task `{task}` was not ended: {why}", remedy=remedy)


def _remedy(error: str) -> str:
    match error:
        case "invalid_client":
            return "see the log (`proof-refused`) for what was wrong with the agent's proof"
        case "invalid_authorization_details":
            return "see `taskbound template list`, and what the task's requester may grant"
        case "invalid_dpop_proof":
            return "name the API by its own name (`api_origin`; else `http://127.0.0.1:8700`); see the clock"
        case "temporarily_unavailable":
            return "try again later"
        case _:
            return (
                "see that the token of `subject=` is not over, and is bound to its `key` or names the agent"
            )
