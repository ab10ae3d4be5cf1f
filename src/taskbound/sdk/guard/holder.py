"""Tokens of a task, and requests authenticated with them.

1. A token is requested with a proof of the agent, bound to the client's key, and sent with a proof for each
   request.
2. A request refused for its token or proof (401) was not processed: it is sent once more with a new token
   and the server's nonce.
3. The response states the token's end and the heartbeat interval (RFC 9396 §7); a block sends three
   heartbeats per interval.
4. Plain HTTP is for the loopback only.
5. A transaction token is bound to the same key and is for the trust domain.
6. A token that arrives after the task changed is dropped; a request begun in one task does not continue in
   another.
7. A value that is not valid token text (RFC 6750 §2.1) is rejected, because header errors would quote it.
"""

from __future__ import annotations

import re
import time
from dataclasses import field
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlencode, urlsplit

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.core.identity.proof import agent_name
from taskbound.core.token.exchange import GRANT, TASK_REFERENCE, TRANSACTION_TOKEN
from taskbound.sdk.guard.errors import CallUndecidedError, NoTaskHereError, NotCarriedError
from taskbound.sdk.guard.flow import Flow, Say
from taskbound.sdk.guard.proof import UnreadableProofError, dpop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.owed import Debt
    from taskbound.sdk.guard.proof import Proof, ProofKey, SubjectToken


OK: Final = 200
TOO_MANY: Final = 429
FAILED: Final = 500
_EARLY: Final = 0.2
"""Which part of a token's life is left when it is renewed."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
UNPROVEN: Final = 401
_TOKENS: Final = "/oauth/token"
_TEXT: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}={0,2}", re.ASCII)
"""What a token is made of (rule 7)."""
_EVERY: Final = 20.0
_BEATS: Final = 3
_MICROSECONDS: Final = 1_000_000


class ApiLostError(UnavailableError):
    """The API does not answer; `sent` says whether it may have received the request."""

    code = "api-lost"
    remedy = "see whether `taskbound serve` runs there, and its name and certificate are right"

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class NoTokenError(DeniedError):
    """The agent gets no token of the task; nothing was asked and nothing ran."""

    code = "no-task-token"
    remedy = "see the log (`proof-refused`) for what was wrong with its proof, and whether the task runs"


class PlainHttpError(MalformedError):
    """The origin is invalid or would send tokens unencrypted."""

    code = "plain-http"
    remedy = "give `https://HOST[:PORT]`; plain HTTP is for 127.0.0.1 alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send this request and read the answer; fails with `ApiLostError`."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    debt: Debt | None = field(default=None, repr=False)
    """That of a question: that it may be sent is noted before it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Wait for the answer to a question; None if it can't be awaited or was lost."""

    debt: Debt


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    """Read the agent's proof, or the subject's token for which it starts a task."""

    proof: Proof | SubjectToken


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """One complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    task: str
    renew: float
    """When it is to be renewed, by the monotonic clock."""
    end: float
    """When it ends, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A token and its details."""

    text: str = field(repr=False)
    task: str
    deadline: int
    """Instant, µs since 1970; 0 where it was not said."""


class Holder:
    """Holds a key, authenticates an agent and uses the tokens of one task."""

    def __init__(  # noqa: PLR0913 -- each by its name
        self,
        *,
        origin: str,
        task: str,
        namespace: str,
        domain: str,
        proof: Proof,
        key: ProofKey,
        now: Callable[[], float],
    ) -> None:
        """Prepares for an agent and its task; raises PlainHttpError (rule 4)."""
        seen = urlsplit(origin)
        plain = seen.scheme == "http" and seen.hostname in _LOOPBACK
        if not seen.hostname or seen.path not in {"", "/"} or not (plain or seen.scheme == "https"):
            raise PlainHttpError(f"`{origin}` is no origin that tokens may be sent to")
        self.origin = origin.removesuffix("/")
        self.task = task
        self._namespace = namespace
        self.domain = domain or seen.hostname
        self._proof = proof
        self._key = key
        self._now = now
        self._nonce = ""
        self._token: _Token | None = None
        self.every = _EVERY
        """Seconds between two signs of life of a block (rule 7)."""

    def shown(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        key: str = "",
        late: bool = False,
        debt: Debt | None = None,
    ) -> Flow[HttpAnswer]:
        """Sends a request with a token and returns its answer (rules 1 and 2)."""
        task, again = self.task, True
        token = yield from self._fresh(late=late)
        while True:
            proof = self._made(method, path, token)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            if body:
                headers["Content-Type"] = "application/json"
            if key:
                headers["Idempotency-Key"] = key
            send = Send(method=method, path=path, headers=headers, body=body, debt=debt)
            answer = yield from self._sent(send)
            if answer.status != UNPROVEN or not again or task != self.task:  # 6
                return answer
            token, again = (yield from self.join()).text, False  # the one before stays where none is had

    def _fresh(self, *, late: bool = False) -> Flow[str]:
        kept = self._token
        if kept is not None and kept.task == self.task:  # 6
            left = (kept.end if late else kept.renew) - time.monotonic()
            if left > 0:
                return kept.text
        return (yield from self.join()).text

    def join(self) -> Flow[Granted]:
        """Returns a new token of the task; raises NoTaskHereError or NoTokenError."""
        task = self.task
        asked, answer = yield from self._of_task({})
        return self.keep(asked, answer, task)

    def hand_to(self, agent: str) -> Flow[str]:
        """Returns a token that only this agent exchanges, for a child task; raises as `join`."""
        _, answer = yield from self._of_task({"requested_actor": agent_name(self._namespace, agent)})
        return token_of(answer)

    def _of_task(self, more: Mapping[str, str]) -> Flow[tuple[float, HttpAnswer]]:
        if not self.task:
            raise NoTaskHereError("no task is named, and over the network none is looked for")
        form = {"subject_token": self.task, "subject_token_type": TASK_REFERENCE, **more}
        asked, answer = yield from self.exchanged(form)
        if answer.status != OK:
            _raise_no_token(answer)
        if not token_of(answer):
            raise NoTokenError("the agent gets no token of the task: the answer has none")  # 7
        return asked, answer

    def transaction(self, tool: str, action: str, content: str) -> Flow[str]:
        """Returns an action's token for this `Content-Digest`; raises NotCarriedError, ApiLostError."""
        _, answer = yield from self.exchanged(
            {
                "subject_token": self.task,
                "subject_token_type": TASK_REFERENCE,
                "requested_token_type": TRANSACTION_TOKEN,
                "resource": "",
                "audience": self.domain,
                "scope": tool,
                "request_details": canonical({"action": action, "content_digest": content}).decode(),
            }
        )
        said = object_of(answer)
        if answer.status == OK:
            if not (text := token_of(answer)):
                raise NotCarriedError(f"no transaction token of `{action}`: the answer has none")  # 7
            return text
        words = text_of(said, "error_description") or text_of(said, "error") or f"status {answer.status}"
        if answer.status >= FAILED or answer.status == TOO_MANY:
            raise ApiLostError(f"no transaction token can be had now: {words}", sent=True)
        target = text_of(said, "error") == "invalid_target"
        remedy = "see that `domain=` is the daemon's `trust_domain`" if target else ""
        raise NotCarriedError(f"no transaction token of `{action}`: {words}", remedy=remedy)

    def prove(self, token: str, method: str, url: str) -> str:
        """Returns a proof for a request to another server with this token (RFC 9449)."""
        return dpop(self._key, method=method, uri=url, now=int(self._now()), token=token)

    def exchanged(self, wanted: Mapping[str, str]) -> Flow[tuple[float, HttpAnswer]]:
        """Returns the token endpoint's answer, and when it was asked."""
        again = True
        while True:
            asked = time.monotonic()
            text = yield from self._proven()
            form = {
                "grant_type": GRANT,
                "resource": self.origin,
                **({"namespace": self._namespace} if self._namespace != "default" else {}),
                **self._proof.parameters(text),
                **wanted,
            }
            form = {name: value for name, value in form.items() if value}
            headers = {
                "DPoP": self._made("POST", _TOKENS, ""),
                "Content-Type": "application/x-www-form-urlencoded",
            }
            nonce = self._nonce
            answer = yield from self._sent(
                Send(method="POST", path=_TOKENS, headers=headers, body=urlencode(form).encode())
            )
            refused = OK < answer.status < FAILED
            if not (refused and again and self._nonce != nonce):  # another nonce is worth another try: 2
                return asked, answer
            again = False

    def _proven(self) -> Flow[str]:
        try:
            text: str = yield Say(what=Prove(proof=self._proof))
        except TaskboundError:
            raise
        except Exception as error:  # the program's own raises what it likes
            raise UnreadableProofError(
                f"what the agent is proven with can't be read: {type(error).__name__}",
                remedy="look at the `read` that the client's proof was given",
            ) from error
        return text

    def keep(self, asked: float, answer: HttpAnswer, task: str) -> Granted:
        """Keeps a token whose task is still the holder's (rule 6); `task` "": it starts the task."""
        said, text = object_of(answer), token_of(answer)
        life, details = said.get("expires_in"), said.get("authorization_details")
        one = details[0] if isinstance(details, list) and details else None
        found = one if isinstance(one, dict) else {}
        deadline, heartbeat = found.get("deadline"), found.get("heartbeat")
        granted = Granted(
            text=text,
            task=text_of(found, "identifier"),
            deadline=deadline * _MICROSECONDS if isinstance(deadline, int) else 0,
        )
        if not task:
            self.task = task = granted.task
        if task == self.task:
            seconds = float(life) if isinstance(life, int) else 0.0
            renew, end = asked + seconds * (1 - _EARLY), asked + seconds
            self._token = _Token(text=text, task=task, renew=renew, end=end)
            if isinstance(heartbeat, int) and heartbeat > 0:
                self.every = min(_EVERY, heartbeat / _BEATS)
        return granted

    def forget(self) -> None:
        self.task, self._token, self.every = "", None, _EVERY

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


def _raise_no_token(answer: HttpAnswer) -> NoReturn:
    said = object_of(answer)
    words = text_of(said, "error_description") or text_of(said, "error") or f"status {answer.status}"
    if answer.status >= FAILED or answer.status == TOO_MANY:
        raise CallUndecidedError(f"no token can be had now: {words}")
    raise NoTokenError(f"the agent gets no token of the task: {words}")


def object_of(answer: HttpAnswer) -> dict[str, JsonValue]:
    """Returns the answer's JSON object; empty if it has none, such as a proxy's page."""
    try:
        return parse_object(answer.body)
    except MalformedError:
        return {}


def token_of(answer: HttpAnswer) -> str:
    """Returns the answer's token (rule 7), or ""."""
    text = text_of(object_of(answer), "access_token")
    return text if _TEXT.fullmatch(text) else ""


def text_of(said: Mapping[str, JsonValue], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""
