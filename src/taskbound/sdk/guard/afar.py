"""Speaking to the daemon over HTTP, for guarded calls: tokens, proofs, and what the API's answers mean.

1. A token is asked for with a proof of the agent, bound to the client's key, kept until shortly before its
   end, and shown with a proof of each request.
2. A request that was refused for its token or proof (401) was not looked at: it is sent once more, with a new
   token, and the nonce that the server gave out.
3. Only a permit of this very act is one: its arguments are compared byte by byte.
4. Where the answer to a question is lost, the same is asked again under the same key, once. Where that was
   permitted before, nothing was done on it, and that is told. Under a key of the caller's nothing is told:
   another process may have it too.
5. An outcome is told until it is taken, for some seconds; the same again changes nothing.
6. Plain HTTP is for this machine alone.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlencode, urlsplit

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.sdk.fresh import awake
from taskbound.sdk.guard.errors import (
    KINDS,
    REPEATED,
    CallUndecidedError,
    DecisionAlteredError,
    HeldError,
    NarrowedError,
    OutcomeUntoldError,
    RefusedError,
    RepeatedError,
    ResultWithheldError,
    UnpinnedToolError,
)
from taskbound.sdk.guard.flow import Answered, Flow, Pause, Permit, Say, told_beside
from taskbound.sdk.guard.proof import dpop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Call
    from taskbound.sdk.guard.proof import Proof, ProofKey

__all__ = ["Afar", "ApiLostError", "HttpAnswer", "NoTokenError", "PlainHttpError", "Prove", "Send"]

_OWED: Final = 15.0
"""Seconds for which an outcome is told again (rule 5)."""
_PAUSE: Final = 0.25
_LOOK: Final = 1.0
"""Seconds between two looks at a held action."""
_EARLY: Final = 0.2
"""Which part of a token's life is left when it is renewed."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_OK: Final = 200
_UNPROVEN: Final = 401
_TOO_MANY: Final = 429
_FAILED: Final = 500
_REASONS: Final = "reasons"
_NONE: Final = "act_none"
_ACTIONS: Final = "/v1/actions"


class ApiLostError(UnavailableError):
    """The API does not answer; `sent` says whether the request may have reached it."""

    code = "api-lost"
    remedy = "see whether `taskbound serve` runs there, and its name and certificate are right"

    def __init__(self, message: str, *, sent: bool) -> None:
        """Keep whether it may have been taken."""
        super().__init__(message)
        self.sent = sent


class NoTokenError(DeniedError):
    """The agent gets no token of the task; nothing was asked, and nothing ran."""

    code = "no-task-token"
    remedy = "see the log (`proof-refused`) for what was wrong with its proof, and whether the task runs"


class PlainHttpError(MalformedError):
    """An origin that is none, or that would send tokens in the clear."""

    code = "plain-http"
    remedy = "give `https://HOST[:PORT]`; plain HTTP is for 127.0.0.1 alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send this request and read the answer; `ApiLostError` where there is none."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    """Read what the agent is proven with."""

    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    renew: float
    """When it is to be renewed, by the monotonic clock."""


class Afar:
    """A daemon behind its API."""

    def __init__(
        self,
        *,
        origin: str,
        task: str,
        namespace: str,
        proof: Proof,
        key: ProofKey,
        now: Callable[[], float],
    ) -> None:
        """Speak for an agent in a task.

        Raises:
            PlainHttpError: The origin is none (rule 6).
        """
        seen = urlsplit(origin)
        plain = seen.scheme == "http" and seen.hostname in _LOOPBACK
        if not seen.hostname or seen.path not in {"", "/"} or not (plain or seen.scheme == "https"):
            raise PlainHttpError(f"`{origin}` is no origin that tokens may be sent to")
        self.origin = origin.removesuffix("/")
        self.task = task
        self._namespace = namespace
        self._proof = proof
        self._key = key
        self._now = now
        self._nonce = ""
        self._token: _Token | None = None

    # --- actions ---------------------------------------------------------------------------------

    def ask(self, call: Call) -> Flow[Permit]:
        """The permit; raises as `Transport.ask` says."""
        asked = awake()
        told: dict[str, JsonValue] = {"tool": call.tool, **({"resume": call.resume} if call.resume else {})}
        body = b'{"arguments":%b,%b' % (call.arguments, canonical(told)[1:])
        key = call.key or secrets.token_urlsafe(16)
        answer, lost = yield from self._asked(body, key)
        if answer is None or answer.status >= _FAILED:
            if call.key:
                raise CallUndecidedError(
                    f"the answer was lost: {lost}",
                    remedy="call it again with the same key: it says what became of this one, or decides it",
                )
            yield Pause(seconds=_PAUSE)
            asked = awake()
            answer = yield from self._shown("POST", _ACTIONS, body, key=key)  # 4
            said = _object(answer)
            if said.get("code") == REPEATED and said.get("state") == "permitted":
                undecided = CallUndecidedError(
                    f"the answer was lost, and nothing was done: {lost}", remedy="call it again"
                )
                yield from told_beside(self, _text(said, "action"), "not-sent", undecided)
                raise undecided
        if answer.status != _OK:
            raise self._refusal(call.tool, answer)
        return (yield from self._permit(call, _object(answer), asked))

    def _asked(self, body: bytes, key: str) -> Flow[tuple[HttpAnswer | None, str]]:
        """The answer to a question, and what is wrong with it; None where it is lost."""
        try:
            answer = yield from self._shown("POST", _ACTIONS, body, key=key)
        except ApiLostError as error:
            if not error.sent:
                raise
            return None, error.message
        return answer, _problem(answer, "detail") or f"status {answer.status}"

    def _permit(self, call: Call, said: Mapping[str, JsonValue], asked: float) -> Flow[Permit]:
        action = _text(said, "action")
        try:
            same = (
                said.get("is") == "action-permitted"
                and said.get("tool") == call.tool
                and canonical(said.get("arguments")) == call.arguments
            )
            if not same:
                raise DecisionAlteredError(f"what was permitted is not what was asked of `{call.tool}`")  # 3
            if said.get("definition") != call.definition:
                raise UnpinnedToolError(
                    f"`{call.tool}` is pinned with another definition than the function has now",
                    tool=call.tool,
                    code="other-definition",
                    remedy="have a person look at what changed, and pin it anew",
                )
        except DeniedError as error:
            if action:
                yield from told_beside(self, action, "not-sent", error)
            raise
        return Permit(action=action, asked=asked)

    def tell(self, action: str, outcome: str, note: str = "") -> Flow[None]:
        """Say what came of it (rule 5); raises as `Transport.tell` says."""
        body = canonical({"outcome": outcome, **({"note": note} if note else {})})
        end = time.monotonic() + _OWED
        while True:
            try:
                answer = yield from self._shown("POST", f"/v1/actions/{action}/outcome", body)
            except TaskboundError as error:
                why, over = error.message, isinstance(error, DeniedError)
            else:
                if answer.status == _OK and (
                    outcome != "succeeded" or _object(answer).get("result") == "may-leave"
                ):
                    return
                why, over = _problem(answer, "detail") or f"status {answer.status}", False
                if answer.status == _UNPROVEN:
                    over = True
                elif answer.status < _FAILED and answer.status != _TOO_MANY:
                    raise ResultWithheldError(
                        f"its result may not be used: {why}",
                        action=action,
                        code=_problem(answer, "code"),
                        remedy=_problem(answer, "advice"),
                    )
            if over or time.monotonic() >= end:
                raise OutcomeUntoldError(
                    f"what came of `{action}` ({outcome}) could not be told: {why}",
                    action=action,
                    outcome=outcome,
                )
            yield Pause(seconds=_PAUSE)

    def hear(self, held: HeldError, seconds: float) -> Flow[Answered]:
        """What people answered, looked for each second."""
        end = time.monotonic() + seconds
        while True:
            answer = yield from self._shown("GET", f"/v1/actions/{held.action}/state", b"")
            if answer.status == _OK:
                said = _object(answer)
                state = _text(said, "approval_state")
                if state not in {"", "pending"} or said.get("state") != "held":
                    return Answered(state=state)
            elif answer.status < _FAILED and answer.status != _TOO_MANY:
                raise self._refusal(held.tool, answer)
            left = end - time.monotonic()
            if left <= 0:
                return Answered(state="")
            yield Pause(seconds=min(_LOOK, left))

    def leave(self, action: str) -> Flow[None]:  # noqa: ARG002 -- the transport's own shape
        """Nothing: an agent that comes back no more has its question withdrawn after ten minutes."""
        yield from ()

    def left(self, answer: HttpAnswer) -> Flow[None]:
        """Say that nothing is begun on the answer to a question whose caller is gone."""
        if answer.status == _OK:
            yield from self.tell(_text(_object(answer), "action"), "not-sent")

    def beat(self) -> Flow[None]:
        """Be heard of: any request with the task's token is, also one that names no action."""
        yield from self._shown("GET", f"/v1/actions/{_NONE}/state", b"")

    # --- requests --------------------------------------------------------------------------------

    def _shown(self, method: str, path: str, body: bytes, *, key: str = "") -> Flow[HttpAnswer]:
        """The answer to a request that is shown with a token (rules 1 and 2)."""
        again = True
        while True:
            token = yield from self._fresh()
            proof = self._made(method, path, token)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            if body:
                headers["Content-Type"] = "application/json"
            if key:
                headers["Idempotency-Key"] = key
            answer = yield from self._sent(Send(method=method, path=path, headers=headers, body=body))
            if answer.status != _UNPROVEN or not again:
                return answer
            self._token, again = None, False

    def _fresh(self) -> Flow[str]:
        """A token that has some time left."""
        kept = self._token
        if kept is not None and time.monotonic() < kept.renew:
            return kept.text
        again = True
        while True:
            asked = time.monotonic()
            text: str = yield Say(what=Prove(proof=self._proof))
            form = {
                "grant_type": GRANT,
                "subject_token": self.task,
                "subject_token_type": TASK_REFERENCE,
                "resource": self.origin,
                **({"namespace": self._namespace} if self._namespace != "default" else {}),
                **self._proof.parameters(text),
            }
            headers = {
                "DPoP": self._made("POST", "/oauth/token", ""),
                "Content-Type": "application/x-www-form-urlencoded",
            }
            nonce = self._nonce
            answer = yield from self._sent(
                Send(method="POST", path="/oauth/token", headers=headers, body=urlencode(form).encode())
            )
            if answer.status == _OK:
                said = _object(answer)
                life = said.get("expires_in")
                seconds = float(life) if isinstance(life, int) else 0.0
                fresh = _Token(text=_text(said, "access_token"), renew=asked + seconds * (1 - _EARLY))
                self._token = fresh
                return fresh.text
            if not (again and self._nonce != nonce):  # another nonce is worth another try (rule 2)
                _raise_no_token(answer)
            again = False

    def _made(self, method: str, path: str, token: str) -> str:
        return dpop(
            self._key,
            method=method,
            uri=self.origin + path,
            now=int(self._now()),
            token=token,
            nonce=self._nonce,
        )

    def _sent(self, send: Send) -> Flow[HttpAnswer]:
        answer: HttpAnswer = yield Say(what=send)
        self._nonce = answer.headers.get("dpop-nonce", self._nonce)
        return answer

    def _refusal(self, tool: str, answer: HttpAnswer) -> TaskboundError:
        """What the API's no is, as an error."""
        said = _object(answer)
        code, detail, advice = (_text(said, one) for one in ("code", "detail", "advice"))
        if answer.status >= _FAILED or answer.status == _TOO_MANY:
            return CallUndecidedError(detail or f"status {answer.status}", code=code, remedy=advice)
        kind = KINDS.get(code, RefusedError)
        found = kind(
            f"`{tool}` is {'held' if code == 'held' else 'refused'}: {detail} [{code}]",
            tool=tool,
            code=code,
            remedy=advice,
            action=_text(said, "action"),
            task=_text(said, "task"),
            reasons=_reasons(said),
        )
        match found:
            case HeldError():
                found.approval = _text(said, "approval")
            case NarrowedError():
                less = said.get("arguments")
                found.arguments = less if isinstance(less, dict) else {}
                found.changed = _changed(said)
            case RepeatedError():
                found.state, found.answer = _text(said, "state"), said.get("answer")
            case _:
                pass
        return found


def _raise_no_token(answer: HttpAnswer) -> NoReturn:
    said = _object(answer)
    words = _text(said, "error_description") or _text(said, "error") or f"status {answer.status}"
    if answer.status >= _FAILED or answer.status == _TOO_MANY:
        raise CallUndecidedError(f"no token can be had now: {words}")
    raise NoTokenError(f"the agent gets no token of the task: {words}")


def _object(answer: HttpAnswer) -> dict[str, JsonValue]:
    """The object that an answer holds; empty where it holds none, such as a proxy's own page."""
    try:
        return parse_object(answer.body)
    except MalformedError:
        return {}


def _problem(answer: HttpAnswer, name: str) -> str:
    return _text(_object(answer), name)


def _text(said: Mapping[str, JsonValue], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _reasons(said: Mapping[str, JsonValue]) -> tuple[tuple[str, str], ...]:
    found = said.get(_REASONS)
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple((_text(one, "code"), _text(one, "text")) for one in rows)


def _changed(said: Mapping[str, JsonValue]) -> tuple[tuple[str, str, str], ...]:
    found = said.get("changed")
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple((_text(one, "place"), _text(one, "before"), _text(one, "after")) for one in rows)
