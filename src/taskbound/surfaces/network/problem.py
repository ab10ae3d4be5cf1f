"""Problem details (RFC 9457), forms, and the link to the daemon.

Of `problem`:

1. The type is the error's code as a URN; the title is the code's words, the same for each of its kind. The
   detail is for the person who meets it, and never holds a secret.
2. Who showed no proof, or a bad one, is told how (RFC 6750 §3, RFC 9449 §7.1), and where it is said what to
   ask whom for (RFC 9728 §5.1). Without any proof nothing is said to be wrong with one.
3. Who may not do what they ask is told that their token does not reach so far (RFC 6750 §3.1), and with
   which scope another would, where it is of the wrong kind: only then is it worth asking for one.
4. The challenge is of the scheme that was tried: `Bearer` to who showed a token so, else `DPoP`.
5. Who would have to sign in otherwise, or anew, is told how (RFC 9470 §3).

Of `form`:

1. It is declared as `application/x-www-form-urlencoded`, as it is, and nothing is said in the query (A139).
2. It is ASCII with strict percent-encoding of UTF-8 without control characters. A name stands once, whatever
   it means (RFC 6749 §3.2); a name without a value is as if it were left out (§3.1).
3. So many bytes and names are read, and no more.
4. What a person pastes may have lines, where it is a form of our own page: in one parameter that is named.

Of `link`:

1. A request is asked once: a connection that breaks while it waits leaves it unknown what the daemon did, and
   that is said. It is never asked again by itself.
2. How many are open at once has its bound before (`shares`).

Of `agreement`:

1. The daemon knows it by the name that it is known by outside. Where it has another one the process ends:
   what is made for one name would be refused under the other, request by request.
2. Which authorities of trust domains clients' certificates are by is the daemon's to say too
   (`surfaces.http.authorities`).

Of `acting`:

1. What can't be read is told to the daemon as well, with what was shown: it asked for an action, and leaves a
   record there. Who shows nothing that proves them is told that, and nothing else.
2. The arguments go to the daemon in canonical form (RFC 8785), made from what was read strictly. What the
   answer names are those bytes: they are what was decided.
3. Only a permit is a success. Whatever else was said is a problem (RFC 9457), whose status is none of a
   success: a client that looks at nothing but that does nothing.
4. What is held or narrowed is 409, for the same request can be permitted later; so is what was permitted
   before. A held one says when it is worth another try, and where it can be looked at meanwhile.
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
    from taskbound.surfaces.network.routes import Found
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
    """What stands in the answer; the members behind `where` are of a refused action alone."""

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
    """Of a repeated one: the result that was told before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem, and the headers that go with it."""

    problem: Problem
    headers: tuple[tuple[str, str], ...]

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(self.problem)


def urn_of(code: str) -> str:
    """The type of a problem with this code (rule 1)."""
    return f"{_URN}{code}"


def problem_of(error: TaskboundError | Fault, metadata: str, tried: str = "") -> Refusal:
    """How an error, or the daemon's fault, is told.

    Args:
        error: What is wrong.
        metadata: Where the API says whom to ask for a token (RFC 9728).
        tried: The `Authorization` that came; empty without one.
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
    """How to sign in (rule 5)."""
    acr, within = getattr(error, "acr", ""), getattr(error, "within", 0)
    return {**({"acr_values": acr} if acr else {}), **({"max_age": str(within)} if within else {})}


def challenge(
    wrong: str, metadata: str, *, scheme: str = DPOP, scope: str = "", more: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """What says how to prove oneself, and what was wrong with a proof (rules 2 to 5)."""
    told = ['algs="ES256"'] if scheme == DPOP else []
    told += [f'{name}="{value}"' for name, value in (("error", wrong), ("scope", scope)) if value]
    told += [f'{name}="{value}"' for name, value in (more or {}).items()]
    told.append(f'resource_metadata="{metadata}"')
    return [("WWW-Authenticate", f"{scheme} {', '.join(told)}")]


def _wrong(code: str) -> str:
    """What a challenge calls this error of who asks; nothing where they showed nothing."""
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
    """What is posted to an endpoint of OAuth is no form of it."""

    code = "bad-form"
    remedy = "post `application/x-www-form-urlencoded`, each parameter once, and none in the URL"


def read_form(
    headers: Mapping[str, str], query: Mapping[str, str], body: bytes, lined: str = ""
) -> dict[str, str]:
    """The parameters of a form (rules 1 to 3).

    Args:
        headers: Of the request, by names in lower case.
        query: What its URL says beside the path.
        body: Its body.
        lined: The one parameter that may have lines, which end with a line feed then (rule 4).

    Raises:
        BadFormError: By the first rule that is broken.
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
    """What requests ask the daemon through."""

    def __init__(self, connect: Connect) -> None:
        """Connect by this, once something is asked."""
        self._connect = connect
        self._client: AsyncClient | None = None
        self._turn = asyncio.Lock()

    async def ask(self, ask: Ask, shown: Shown | None, *, patience: float) -> Answer:
        """The daemon's answer, faults included (rule 1).

        Raises:
            DaemonLostError: The daemon is not there, or went away meanwhile.
        """
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
        """End the connection."""
        if self._client is not None:
            self._client.close()


_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0


class Agreement:
    """One process's agreement with its daemon."""

    def __init__(
        self, link: Link, origin: str, *, believe: Callable[[Sequence[bytes]], Awaitable[None]] | None
    ) -> None:
        """Be known as this.

        Args:
            link: To the daemon.
            origin: How the process is known outside.
            believe: Is told authorities, DER, whenever they are others; None where there is no TLS.
        """
        self._link = link
        self._origin = origin
        self._authorities = Authorities(self._said, believe) if believe is not None else None

    async def once(self) -> None:
        """Agree, and take authorities, where the daemon answers.

        Raises:
            OtherOriginError: The daemon has another name for it (rule 1).
        """
        answer = await self._asked()
        if isinstance(answer, Fault) and answer.code == OtherOriginError.code:
            raise OtherOriginError(answer.message)  # 1
        if self._authorities is not None:
            await self._authorities.once()  # 2

    async def _said(self, ask: ShowClientAuthorities) -> Answer:
        return await self._link.ask(ask, None, patience=_PATIENCE)

    async def _asked(self) -> Answer | None:
        """The daemon's answer; none while it says nothing."""
        try:
            return await self._link.ask(Agree(origin=self._origin), None, patience=_PATIENCE)
        except TaskboundError as error:
            _log.debug("the daemon did not say: %s", error.message)
            return None

    async def keep(self) -> None:
        """Agree for as long as it serves; raises as `once`."""
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
    """What a request for an action asks (rule 2).

    Raises:
        MalformedError: It can't be read.
    """
    ask = read_ask(found, query, body)
    if not isinstance(ask, AskAction):
        raise TypeError("the route asks for no action")
    return msgspec.structs.replace(ask, arguments=msgspec.Raw(canonical(parse_object(bytes(ask.arguments)))))


def unread(error: MalformedError, body: bytes) -> Malformed:
    """What the daemon is told of a body that can't be read (rule 1)."""
    return Malformed(code=error.code, message=error.message, size=len(body), sha256=sha256(body).hexdigest())


def refusal_of(said: NotPermitted) -> Refusal:
    """How it is told that nothing is permitted (rules 3 and 4)."""
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
    """The status of a refusal; that a tool is unknown is one, and no page that is not found."""
    status = status_of(said.code, said.family)
    return _FORBIDDEN if status == _ABSENT else status
