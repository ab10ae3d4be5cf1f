"""Problem details (RFC 9457), forms, and the link to the daemon.

Of `problem`:
1. The type is the error's code as a URN, the title the code's fixed text. The detail is for a person and has
   no secret.
2. A request without a valid proof gets a challenge (RFC 6750 §3, RFC 9449 §7.1) with the resource metadata
   (RFC 9728 §5.1). Without any proof the challenge names no error.
3. A forbidden request gets `insufficient_scope` (RFC 6750 §3.1); it names a scope only for a token of the
   wrong kind, because only then another token helps.
4. The scheme is the one that was tried: `Bearer` for a bearer token, else `DPoP`.
5. A required stronger or newer sign-in is described (RFC 9470 §3).
Of `form`:
1. The media type is `application/x-www-form-urlencoded`, and the query is empty (A139).
2. Strict percent-encoded ASCII of UTF-8 without control characters. A name stands once (RFC 6749 §3.2); a
   name without a value counts as left out (§3.1).
3. Bytes and names are limited.
4. One named parameter of our own page may have several lines, for pasted text.
Of `link`:
1. A request is sent once: a connection that breaks while it waits leaves its effect unknown, and that is
   reported.
2. The number of open requests is bounded before (`shares`).
Of `agreement`:
1. The daemon must know the process by its external origin; otherwise the process ends, because each would
   refuse what is made for the other.
2. Authorities for client certificates come from the daemon (`surfaces.http.authorities`).
Of `acting`:
1. An unreadable request for an action is reported to the daemon with its proof, and recorded there. A client
   without a proof learns only that.
2. Arguments go to the daemon in canonical form (RFC 8785), from the strict parser; a permit is for those
   bytes.
3. Only a permit is a success status; everything else is a problem, so that a naive client does nothing.
4. A held or narrowed request, and a repeated one, is 409, because the same request may be permitted later. A
   hold says when to retry and where its question is shown.
"""

from __future__ import annotations

import asyncio
import logging
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import canonical, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.policy.operation import StepUpError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.http.errors import VerbError
from taskbound.surfaces.http.head import EVERY, Authorities
from taskbound.surfaces.network.asking import read_ask
from taskbound.surfaces.network.errors import status_of
from taskbound.wire.action import AskAction, Changed, Malformed, Reason
from taskbound.wire.connection import Fault
from taskbound.wire.network import Agree, OtherOriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeAlias

    from taskbound.sdk.client import AsyncClient
    from taskbound.surfaces.network.asking import Found
    from taskbound.wire.action import NotPermitted
    from taskbound.wire.envelope import Answer, Ask
    from taskbound.wire.network import ShowClientAuthorities, Shown

    Connect: TypeAlias = Callable[[Callable[[], None]], Awaitable[AsyncClient]]
    """Makes a connection that the daemon has opened in the role `api`, told what to call when it is gone."""


NO_PROOF: Final = "no-proof"
"""The code of a request that shows nothing."""
BEARER: Final = "Bearer"
DPOP: Final = "DPoP"
"""Schemes by which a token is shown (RFC 6750, RFC 9449)."""
_URN: Final = "urn:taskbound:problem:"
_AGAIN: Final = "1"
"""Seconds after which what can't be done now is worth another try."""
_UNAUTHORIZED: Final = 401
_LATER: Final = frozenset({429, 503})


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a problem; members after `where` belong to refused actions."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    advice: str = ""
    where: str = ""
    action: str = ""
    task: str = ""
    state: str = ""
    approval: str = ""
    reasons: tuple[Reason, ...] = ()
    arguments: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Of a narrower action: what may be asked for instead."""
    changed: tuple[Changed, ...] = ()
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """For a repeated request: the earlier result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem with its headers."""

    problem: Problem
    headers: tuple[tuple[str, str], ...]

    @property
    def body(self) -> bytes:
        """Returns the problem as JSON."""
        return msgspec.json.encode(self.problem)


def urn_of(code: str) -> str:
    """Returns the problem type of a code (rule 1)."""
    return f"{_URN}{code}"


def problem_of(error: TaskboundError | Fault, metadata: str, tried: str = "") -> Refusal:
    """Converts an error or a fault to a problem.

    `metadata` is the URL of the resource metadata, `tried` the received `Authorization`, empty for none.
    """
    scheme = BEARER if tried[: len(BEARER)].lower() == BEARER.lower() else DPOP  # 4
    if isinstance(error, RefusedByDaemonError):
        error = error.fault
    status = status_of(error.code, error.family)
    headers: list[tuple[str, str]] = []
    if error.code == StepUpError.code:
        wrong = "insufficient_user_authentication"
        headers += challenge(wrong, metadata, scheme=scheme, more=_sign_in(error))
    elif status == _UNAUTHORIZED:
        headers += challenge(_wrong(error.code), metadata, scheme=scheme)
    elif error.code in _BEYOND:
        scope = error.where if error.code == _OTHER_KIND else ""
        headers += challenge("insufficient_scope", metadata, scheme=scheme, scope=scope)
    if isinstance(error, VerbError):
        headers.append(("Allow", error.allow))
    if status in _LATER:
        headers.append(("Retry-After", _AGAIN))
    return Refusal(
        problem=Problem(
            type=urn_of(error.code),
            title=error.code.replace("-", " ").capitalize(),
            status=status,
            detail=error.message,
            code=error.code,
            advice=error.advice,
            where=error.where,
        ),
        headers=tuple(headers),
    )


_OTHER_KIND: Final = "other-token-kind"
_BEYOND: Final = frozenset({"operation-forbidden", _OTHER_KIND})
_OF_TOKEN: Final = frozenset({"dpop-key", "dpop-token"})
"""What is wrong with a proof that is of another token than it came with (RFC 9449 §7.1)."""


def _sign_in(error: TaskboundError | Fault) -> dict[str, str]:
    acr, within = getattr(error, "acr", ""), getattr(error, "within", 0)
    return {**({"acr_values": acr} if acr else {}), **({"max_age": str(within)} if within else {})}


def challenge(
    wrong: str, metadata: str, *, scheme: str = DPOP, scope: str = "", more: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Returns the challenge for a missing or bad proof (rules 2 to 5)."""
    told = ['algs="ES256"'] if scheme == DPOP else []
    told += [f'{name}="{value}"' for name, value in (("error", wrong), ("scope", scope)) if value]
    told += [f'{name}="{value}"' for name, value in (more or {}).items()]
    told.append(f'resource_metadata="{metadata}"')
    return [("WWW-Authenticate", f"{scheme} {', '.join(told)}")]


def _wrong(code: str) -> str:
    if code == NO_PROOF:
        return ""
    proof = code == "replayed" or (code.startswith("dpop-") and code not in _OF_TOKEN)
    return "invalid_dpop_proof" if proof else "invalid_token"


_TYPE: Final = re.compile(
    r'application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE
)
_PART: Final = re.compile(rb"(?:[A-Za-z0-9._~!$'()*,;:@/?+-]|%[0-9A-Fa-f]{2})*")
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LONGEST: Final = 65_536
"""Bytes of a form."""
_MOST: Final = 32


class BadFormError(MalformedError):
    """The body posted to an OAuth endpoint is no valid form."""

    code = "bad-form"
    remedy = "post `application/x-www-form-urlencoded`, each parameter once, and none in the URL"


def read_form(
    headers: Mapping[str, str], query: Mapping[str, str], body: bytes, lined: str = ""
) -> dict[str, str]:
    """Returns the parameters of a form; raises BadFormError (rules 1 to 3).

    `lined` is the parameter that may have several lines, each ended by LF (rule 4).
    """
    if query:
        raise BadFormError("an endpoint of OAuth takes nothing from the URL")  # 1
    if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
        raise BadFormError("the body is not declared to be a plain form")  # 1
    if len(body) > LONGEST:
        raise BadFormError(f"a form has at most {LONGEST} bytes")  # 3
    parts = body.split(b"&") if body else []
    if len(parts) > _MOST:
        raise BadFormError(f"a form has at most {_MOST} parameters")  # 3
    found: dict[str, str] = {}
    for part in parts:
        raw, _, rest = part.partition(b"=")
        name = _decode(raw)
        value = _decode(rest, lined=bool(lined) and name == lined)
        if not name or name in found:
            raise BadFormError("a parameter has no name, or stands twice")  # 2
        found[name] = value
    return {name: value for name, value in found.items() if value}


def _decode(raw: bytes, *, lined: bool = False) -> str:
    if _PART.fullmatch(raw) is None:
        raise BadFormError("the form is not percent-encoded ASCII")
    plain = _ENCODED.sub(lambda seen: bytes([int(seen[1], 16)]), raw.replace(b"+", b" "))
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFormError("the form is no UTF-8") from error
    if lined:
        text = text.replace("\r\n", "\n")  # 4
    if _CONTROL.search(text.replace("\n", "") if lined else text):
        raise BadFormError("the form has a control character")
    return text


class Link:
    """The connection to the daemon that requests share."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._client: AsyncClient | None = None
        self._turn = asyncio.Lock()

    async def ask(self, ask: Ask, shown: Shown | None, *, patience: float) -> Answer:
        """Returns the daemon's answer, or fault (rule 1); raises DaemonLostError."""
        client = await self._reached()
        return await client.ask_any(ask, patience=patience, shown=shown)

    async def _reached(self) -> AsyncClient:
        async with self._turn:
            if self._client is None:
                try:
                    self._client = await self._connect(self._lost)
                except OSError as error:
                    raise DaemonLostError("the daemon can't be reached") from error
            return self._client

    def _lost(self) -> None:
        self._client = None

    def close(self) -> None:
        """Closes the connection."""
        if self._client is not None:
            self._client.close()


_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0


class Agreement:
    """One process' agreement with its daemon."""

    def __init__(
        self, link: Link, origin: str, *, believe: Callable[[Sequence[bytes]], Awaitable[None]] | None
    ) -> None:
        """`believe` receives changed authorities in DER; None without TLS."""
        self._link = link
        self._origin = origin
        self._authorities = Authorities(self._said, believe) if believe is not None else None

    async def once(self) -> None:
        """Agrees and takes authorities if the daemon answers; raises OtherOriginError (rule 1)."""
        answer = await self._asked()
        if isinstance(answer, Fault) and answer.code == OtherOriginError.code:
            raise OtherOriginError(answer.message)  # 1
        if self._authorities is not None:
            await self._authorities.once()  # 2

    async def _said(self, ask: ShowClientAuthorities) -> Answer:
        return await self._link.ask(ask, None, patience=_PATIENCE)

    async def _asked(self) -> Answer | None:
        """Returns None while the daemon does not answer."""
        try:
            return await self._link.ask(Agree(origin=self._origin), None, patience=_PATIENCE)
        except TaskboundError as error:
            _log.debug("the daemon did not say: %s", error.message)
            return None

    async def keep(self) -> None:
        """Agrees for as long as it serves; raises as `once`."""
        while True:
            await asyncio.sleep(EVERY)
            await self.once()


_ACTING_AGAIN: Final = "5"
"""Seconds after which a held action is worth another try."""
_CONFLICT: Final = 409
_ACTING_LATER: Final = frozenset({"action-repeated", "held", "narrowed"})
_UNAVAILABLE: Final = 503
_FORBIDDEN: Final = 403
_ABSENT: Final = 404


def read_action(found: Found, query: Mapping[str, str], body: bytes) -> AskAction:
    """Converts a request for an action (rule 2); raises MalformedError."""
    ask = read_ask(found, query, body)
    if not isinstance(ask, AskAction):
        raise TypeError("the route asks for no action")
    return msgspec.structs.replace(ask, arguments=msgspec.Raw(canonical(parse_object(bytes(ask.arguments)))))


def unread(error: MalformedError, body: bytes) -> Malformed:
    """Returns the report of an unreadable body (rule 1)."""
    return Malformed(code=error.code, message=error.message, size=len(body), sha256=sha256(body).hexdigest())


def refusal_of(said: NotPermitted) -> Refusal:
    """Returns the problem of a request without a permit (rules 3 and 4)."""
    status = _CONFLICT if said.code in _ACTING_LATER else _status(said)
    headers: list[tuple[str, str]] = []
    if said.code == "held":
        headers += [("Retry-After", _ACTING_AGAIN), ("Location", f"/v1/actions/{said.action}/state")]
    elif status == _UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    return Refusal(
        problem=Problem(
            type=urn_of(said.code),
            title=said.code.replace("-", " ").capitalize(),
            status=status,
            detail=said.message,
            code=said.code,
            advice=said.advice,
            action=said.action,
            task=said.task,
            state=said.state,
            approval=said.approval,
            reasons=said.reasons,
            arguments=said.arguments,
            changed=said.changed,
            answer=said.answer,
        ),
        headers=tuple(headers),
    )


def _status(said: NotPermitted) -> int:
    """An unknown tool is a refusal, not a missing page."""
    status = status_of(said.code, said.family)
    return _FORBIDDEN if status == _ABSENT else status
