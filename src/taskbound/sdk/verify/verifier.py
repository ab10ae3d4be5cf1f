"""Verifies a request with a transaction token, in a fixed order, without I/O of its own.

1. `open` checks the head: one token, verified with the issuer's keys (`wire.jose`), for the trust domain,
   within its times, of the namespace whose feed is read, for the endpoint's tool, and sent by its holder.
2. `take` checks the body, the time again, the status, and claims the request once. A claim can wait for
   disk or lock, so time and status are checked again after it; if they fail nothing runs.
3. Results have no truth value. Only `Accepted` lets anything run; its holder calls `answer`, or `lose` if
   the outcome is unknown.
4. A refusal names step and error. Other exceptions are raised, and nothing runs.
5. Only signature checks are cached, by the token's text; times, keys, holder and status are checked each
   time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import Action, Frame, canonical, parse_object
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.token import shared
from taskbound.core.transition import NoTruth
from taskbound.sdk.fresh import awake
from taskbound.sdk.verify import errors
from taskbound.sdk.verify.endpoint import Body, Endpoint
from taskbound.sdk.verify.holder import Holders, dpop_showing
from taskbound.sdk.verify.keys import (
    Said,
    anew_in_children,
    content_digest,
    parse_said,
    require_digest,
)
from taskbound.sdk.verify.refused import Refused, Step
from taskbound.sdk.verify.status import require_holds, require_still_holds
from taskbound.wire import jose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from taskbound.core.token.shared import ServedAnswer
    from taskbound.sdk.verify.holder import Holding
    from taskbound.sdk.verify.keys import Claims, IssuerKeys
    from taskbound.sdk.verify.status import Asking, Status
    from taskbound.wire.jose import Compact, Jwk, SignatureCheck


_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The verifying service and whom it trusts."""

    name: str
    """The service's own: what it did with a transaction is claimed under it."""
    issuer: str
    """`iss` of the tokens: the name of the Taskbound that permits."""
    domain: str
    """`aud` of the tokens: the trust domain."""
    holding: Holding
    """How it knows who sent a request."""
    namespace: str = "default"
    """The one that it takes tokens of: of another one it hears no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request's head; no repr shows the token."""

    tokens: Sequence[str] = field(repr=False)
    """Every value of `Txn-Token`."""
    method: str = ""
    path: str = ""
    shown: Collection[str] = ()
    """What the connection, or what came with the request, has proven (`holder`, rule 1)."""
    proofs: Sequence[str] = field(default=(), repr=False)
    """Every value of `DPoP`."""
    digests: Sequence[str] = ()
    """Every value of `Content-Digest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(NoTruth):
    """A head with a verified token; it permits nothing yet."""

    said: Said
    head: Head
    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(NoTruth):
    """This service must do the request, now and once."""

    said: Said
    serving: shared.Serving


Outcome: TypeAlias = Accepted | shared.Repeated | Refused
"""What becomes of a request: it is done, it was done and this was answered, or it is not done."""


class _Seen:
    """Caches valid signature checks (rule 5)."""

    def __init__(self, check: SignatureCheck) -> None:
        self._check = check
        self._begin_anew()
        anew_in_children(self, _Seen._begin_anew)  # a thread may hold the lock when this process forks

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._right: OrderedDict[tuple[str, Jwk], None] = OrderedDict()

    def verify(self, compact: Compact, key: Jwk) -> None:
        name = compact.text, key
        with self._lock:
            if name in self._right:
                self._right.move_to_end(name)
                return
        self._check.verify(compact, key)
        with self._lock:
            self._right[name] = None
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)


class Verifier:
    """Verifies requests of one service; thread-safe."""

    def __init__(  # noqa: PLR0913 - what a service needs of the world, each by its name
        self,
        service: Service,
        *,
        keys: IssuerKeys,
        check: SignatureCheck,
        claims: Claims,
        clock: Callable[[], Instant],
        status: Status | None = None,
        asking: Asking | None = None,
    ) -> None:
        """Accepts nothing without `status` or `asking`; `clock` never runs backwards."""
        if status is not None and status.namespace != service.namespace:
            raise errors.OtherNamespaceError(
                f"ends are heard of `{status.namespace}`, and tokens taken of `{service.namespace}`",
                remedy="have both of one namespace",
            )
        self.service = service
        self._keys = keys
        self._check = check
        self._seen = _Seen(check)
        self._claims = claims
        self._clock = clock
        self._status = status
        self._asking = asking

    def open(self, head: Head, endpoint: Endpoint) -> Opened | Refused:
        """Checks the head of a request (rule 1)."""
        step = Step.TOKEN
        try:
            said = self._believed(head.tokens)
            step = Step.REQUEST
            if said.tool != endpoint.tool:
                raise errors.OtherToolError(f"the token is for another tool than `{endpoint.tool}`")
            step = Step.HOLDER
            self._require_held(said, head)
        except TaskboundError as error:
            return Refused(error=error, step=step)
        return Opened(said=said, head=head, endpoint=endpoint)

    def take(self, opened: Opened, body: bytes) -> Outcome:
        """Checks the body's exact bytes and claims the request (rule 2)."""
        said, step = opened.said, Step.REQUEST
        try:
            require_digest(opened.head.digests, body)
            bound = _require_request(said, opened.endpoint, body)
            step = Step.TOKEN
            now = self._clock()
            _require_time(said, now)
            step, asked = Step.STATUS, awake()
            text = opened.head.tokens[0]
            require_holds(text, said, status=self._status, asking=self._asking)
            step = Step.CLAIM
            found = self._begun(opened, bound, now)
        except TaskboundError as error:
            return Refused(error=error, step=step)
        return self._still(found, said, asked)

    def _still(self, found: Accepted | shared.Repeated, said: Said, asked: float) -> Outcome:
        try:
            _require_time(said, self._clock())
            require_still_holds(said, status=self._status, asking=self._asking, asked=asked)
        except BaseException as error:
            if isinstance(found, Accepted):
                with suppress(TaskboundError):  # otherwise its end makes it unknown just the same
                    self._claims.lose(found.serving)
            if isinstance(error, TaskboundError):
                return Refused(error=error, step=Step.STATUS)
            raise  # 4
        return found

    def answer(self, accepted: Accepted, answer: ServedAnswer) -> None:
        """Keeps the answer (rule 3); raises ClaimsUnavailableError: the outcome is then unknown."""
        self._claims.answer(accepted.serving, answer)

    def lose(self, accepted: Accepted) -> None:
        """Marks the outcome as unknown (rule 3); so it is even if ClaimsUnavailableError is raised."""
        self._claims.lose(accepted.serving)

    def close(self) -> None:
        """Closes the claims; call it when no request is being verified."""
        self._claims.close()

    def _believed(self, tokens: Sequence[str]) -> Said:
        if not tokens:
            raise errors.TokenAbsentError("the request has no `Txn-Token`")
        if len(tokens) != 1 or "," in tokens[0]:
            raise errors.TokenCountError("the request has not one `Txn-Token`")
        text = tokens[0]
        if not text.isascii():
            raise jose.TokenSizeError("the token has characters that no token has")
        jws = jose.parse_jws(text, kind=jose.TRANSACTION_TOKEN)
        trust = jose.Trust(
            issuer=self.service.issuer,
            audience=self.service.domain,
            keys=self._keys.keys(jws.header.kid),
        )
        jose.verify_jws(jws, trust=trust, check=self._seen, now=self._clock())
        said = parse_said(jws)
        if said.namespace != self.service.namespace:
            raise errors.OtherNamespaceError(
                "the token is of another namespace than the service's", where="tctx"
            )
        return said

    def _require_held(self, said: Said, head: Head) -> None:
        holding = self.service.holding
        if not isinstance(holding, Holders):
            return
        shown = set(head.shown)
        if head.proofs and holding.origin:
            showing, claim = dpop_showing(
                head.proofs,
                holding.of(said.holder, said.confirmed),
                request=(head.method, holding.origin + head.path),
                token=head.tokens[0],
                check=self._check,
                now=self._clock(),
            )
            self._claims.use(claim, self._clock())
            shown.add(showing)
        holding.require(said.holder, said.confirmed, shown)

    def _begun(self, opened: Opened, bound: str, now: Instant) -> Accepted | shared.Repeated:
        said, head = opened.said, opened.head
        serving = shared.Serving(
            verifier=self.service.name,
            txn=said.txn,
            request=shared.request_digest(
                said.tool, head.method, head.path, opened.endpoint.body.value, bound
            ),
            until=Instant(said.expires + jose.SKEW),
            token=said.token,
        )
        match self._claims.begin(serving, now):
            case shared.Begun():
                return Accepted(said=said, serving=serving)
            case shared.Repeated() as repeated if repeated.answer.body is not None:
                return repeated
            case shared.Repeated() as repeated:
                answer = repeated.answer
                raise errors.OutcomeUnknownError(
                    f"it was done and answered with status {answer.status}; of the answer only its"
                    f" digest was kept: {answer.digest}, of {answer.length} bytes"
                )
            case shared.StillServing():
                raise errors.StillServingError("the same request is being done")
            case shared.Unfinished():
                raise errors.OutcomeUnknownError(
                    "the same request was begun before, and its outcome is unknown"
                )


def _require_time(said: Said, now: Instant) -> None:
    if now >= said.expires:
        raise jose.TokenExpiredError("the token has expired", where="exp")


def _require_request(said: Said, endpoint: Endpoint, body: bytes) -> str:
    if endpoint.body is Body.CONTENT:
        if not said.content_digest:
            raise errors.DigestMissingError("the token names no `content_digest`", where="tctx")
        made = content_digest(body)
        if said.content_digest != made:
            raise errors.OtherContentError("the content is not what the token is for", where="content_digest")
        _require_action(said, endpoint, canonical(parse_object(body)) if body else b"{}")
        return made
    if canonical(parse_object(body)) != body:
        raise errors.ArgumentsRewrittenError("the body is not the canonical text of its arguments")
    return _require_action(said, endpoint, body)


def _require_action(said: Said, endpoint: Endpoint, arguments: bytes) -> str:
    definition = endpoint.definition or said.definition
    if not definition or definition != (said.definition or definition):
        raise errors.DigestMissingError(
            "which definition of the tool was decided on is not known, or not that of this service",
            where="definition",
            remedy="declare the endpoint with the digest of the tool's pinned definition",
        )
    frame = Frame(
        namespace=said.namespace,
        task=said.task,
        agent=said.agent,
        tool=said.tool,
        server=said.target,
        definition=definition,
    )
    action = Action(frame=frame, arguments=arguments)
    if action.digest != said.action_digest:
        raise errors.OtherActionError("tool and arguments are not the action that was permitted")
    return action.digest
