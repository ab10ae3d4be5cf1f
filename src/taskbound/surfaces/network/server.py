"""Serves the API: connections, cursors, spans.

Of `server`:
1. A refusal before the daemon is asked is counted only; oversized heads or bodies (`http.telling`) and
   incomplete requests for actions are reported to the daemon. Everything else the daemon records.
2. A client's proof goes to the daemon whole and is kept nowhere.
3. Lists are paged, with a cursor if another page follows.
4. Liveness and readiness are public. Metrics are for this machine and for callers who may ask for the
   daemon's status; they include the daemon's counters while it answers.
5. Public token documents are read in the process' own name; OAuth forms are served by `oauth`, pages by
   `consent` and `pages`.
6. An unexpected exception is 500 for its request, and logged.
Of `cursor`:
1. A cursor is bound to its route and the other parameters.
2. It is sealed by a key of this process; a changed one, or one from before a restart, is refused.
Of `tracing`:
1. A valid `traceparent` is continued with its sampling flag; otherwise a trace begins here (`wire.trace`,
   rules 1 and 2).
2. The span's name is the route's, never a client's input.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from base64 import b64encode
from dataclasses import replace
from functools import partial
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity.errors import NoProofError
from taskbound.core.identity.proof import BadRequestKeyError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.http.errors import SlowClientError, UnknownPathError
from taskbound.surfaces.http.head import OVERSIZED, PATIENCE, RefusalReporter, leaving
from taskbound.surfaces.http.rate import ConnectionLimits, network_of
from taskbound.surfaces.network import oauth, pages
from taskbound.surfaces.network import problem as acting
from taskbound.surfaces.network.answer import Reply
from taskbound.surfaces.network.asking import read_ask
from taskbound.surfaces.network.authzen import response as authzen
from taskbound.surfaces.network.authzen import response as request_id
from taskbound.surfaces.network.authzen.response import REQUEST_ID, metadata
from taskbound.surfaces.network.consent.page import FILES, ConsentPages, label_of
from taskbound.surfaces.network.errors import BadCursorError, BadQueryError
from taskbound.surfaces.network.head import EVALUATES, ApiNames, operation_of, read_head
from taskbound.surfaces.network.oauth import KIND, Metrics, Shares, TokenRecognizer, identity_of
from taskbound.surfaces.network.openapi import describe
from taskbound.surfaces.network.pages import ApprovalPages, SignInPages
from taskbound.wire.action import ActionRows, NotPermitted
from taskbound.wire.approval import ApprovalRows
from taskbound.wire.authorization import (
    AdmissionRows,
    AskToken,
    IntrospectToken,
    Published,
    ShowStatusList,
    ShowTokenJwks,
)
from taskbound.wire.connection import Done, Fault, Ping, Status, StatusReport
from taskbound.wire.jose.compact import decode_base64url, encode_base64url
from taskbound.wire.network import Counted, ShowCounts, Shown
from taskbound.wire.task import TaskRows
from taskbound.wire.token import TokenRows
from taskbound.wire.trace import NO_SPAN, Span, Trace, parse_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.surfaces.http.connection import Bounds, HttpConnection, RawHead
    from taskbound.surfaces.http.rate import Proxies, Rates
    from taskbound.surfaces.network.asking import Found
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Link
    from taskbound.wire.envelope import Ask
    from taskbound.wire.routes import Route

    Connection: TypeAlias = HttpConnection[Head, Reply]


_log = logging.getLogger(__name__)
_METADATA: Final = "/.well-known/oauth-protected-resource"
DOCUMENTS: Final = frozenset(
    {
        *("/livez", "/metrics", "/openapi.json", "/readyz"),
        *("/.well-known/jwks.json", request_id.METADATA, oauth.METADATA, _METADATA),
        *FILES,
        pages.STYLE_PATH,
    }
)
"""What is read and is no operation."""
_Rows: TypeAlias = ActionRows | AdmissionRows | ApprovalRows | TaskRows | TokenRows
_ASKS: Final = "action:ask"
_ACTS: Final = frozenset({_ASKS, EVALUATES})
"""Operations that ask for actions: an incomplete request for one is reported to the daemon."""
_OK: Final = 200
_STATUS_LIST: Final = "application/statuslist+jwt"
_SIGNS: Final = 15.0
"""Seconds that the daemon may take with a form, or with what it may have to have signed."""
_LIVES: Final = 2.0
"""Seconds that the daemon may take to say that it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDependencies:
    """The dependencies of the server."""

    link: Link
    rates: Rates
    cursors: Cursors
    bounds: Bounds
    tracing: Tracing
    proxies: Proxies
    """Whose `X-Forwarded-For` is believed."""
    origin: str
    """How the API is known outside: scheme, host and port."""
    hosts: frozenset[str]
    """What `Host` may be."""


class Server(ConnectionLimits["Bounds", "Connection"]):
    """Serves every connection (`http.connection.Server`)."""

    def __init__(self, plugs: ServerDependencies) -> None:
        super().__init__(plugs.bounds, plugs.proxies, count=plugs.rates.take)
        self._plugs = plugs
        self._claimed = TokenRecognizer(plugs.link, plugs.origin, time.monotonic)
        self._shares = Shares()
        self._telling = RefusalReporter(partial(plugs.link.ask, shown=None, patience=PATIENCE))
        self._pages = ConsentPages(plugs.link, plugs.origin)
        self._sign_in = SignInPages(plugs.link, plugs.origin)
        self._approvals = ApprovalPages(plugs.link, plugs.origin)
        self._evaluations = authzen.EvaluationPoint(plugs.link, plugs.origin)
        self._known = ApiNames(
            origin=plugs.origin,
            hosts=plugs.hosts,
            documents=DOCUMENTS,
            forms=frozenset(oauth.ENDPOINTS),
            evaluations=frozenset(authzen.ENDPOINTS),
            pages=_methods_of,
        )
        self._work: set[asyncio.Task[None]] = set()
        self._openapi = describe(plugs.origin)
        self._resource = msgspec.json.encode(_resource(plugs.origin))
        self._authorizing = oauth.metadata(plugs.origin)
        self._deciding = metadata(plugs.origin)
        self.metrics = Metrics()

    async def close(self) -> None:
        """Ends all connections and requests."""
        self.abort_all()
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._telling.close()
        self._plugs.link.close()

    # --- connections -----------------------------------------------------------------------------

    def enter(self, connection: Connection) -> bool:
        """Counts another connection; returns whether there is room."""
        if not super().enter(connection):
            return False
        self.metrics.opened += 1
        self.metrics.connections += 1
        return True

    def leave(self, connection: Connection) -> None:
        """Removes a closed connection."""
        super().leave(connection)
        self.metrics.connections -= 1

    def read(self, verb: str, target: str, fields: Sequence[tuple[bytes, bytes]]) -> Head:
        """Parses the head of a request; raises as `read_head`."""
        return read_head(verb, target, fields, known=self._known, most=self.bounds.body)

    def reply(self, connection: Connection, head: Head | None, raw: RawHead | None) -> Reply:
        """Returns the reply object of a request."""
        began = asyncio.get_running_loop().time()
        verb, route = _label(head)

        traced = self._plugs.tracing.begin(head.headers.get("traceparent", "") if head is not None else "")

        def told(status: int) -> None:
            self.metrics.count(verb, route, status, asyncio.get_running_loop().time() - began)
            traced.answered(verb, route, status)

        reply = Reply(connection, head, raw, metadata=self._plugs.origin + _METADATA, told=told)
        reply.trace = traced.text
        reply.address, reply.chain = self.client_of(connection, raw), connection.certificates
        credential = _credential_of(head)
        if credential is not None:
            reply.on_proven = partial(self._believe, connection, reply.address, credential)
        return reply

    def refused(self, error: TaskboundError, raw: RawHead | None) -> None:
        """Takes a request that was refused before it was complete (rule 1)."""
        operation = "" if raw is None else operation_of(raw.verb, raw.target)
        unread = isinstance(error, MalformedError | SlowClientError)
        if error.code in OVERSIZED or (operation in _ACTS and unread):
            self._telling.refused(error.code, operation)

    def take(self, head: Head, body: bytes, reply: Reply) -> None:
        """Answers a complete request."""
        task = asyncio.get_running_loop().create_task(self._take(head, body, reply))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _take(self, head: Head, body: bytes, reply: Reply) -> None:
        try:
            if head.path == "/livez":
                self._plugs.rates.take_live(reply.address)
                reply.give(b'{"live":true}')
                return
            await self._pace(head, reply)
            identity = self._plugs.rates.identity(reply.address, _credential_of(head) or "")
            with self._shares.held(identity=identity, address=reply.address):
                await self._answer(head, body, reply)
        except TaskboundError as error:
            if isinstance(error, RefusedByDaemonError) and error.fault.family == "unproven":
                self._plugs.rates.doubt(reply.address, _credential_of(head) or "")
            reply.refuse(error)
        except Exception:  # noqa: BLE001 -- the surface's outermost edge (rule 6)
            _log.exception("a request failed")
            reply.refuse(TaskboundError("this should not have happened"))

    async def _answer(self, head: Head, body: bytes, reply: Reply) -> None:
        if head.page:
            await self._page(head, body, reply)
        elif head.path in oauth.ENDPOINTS:
            await self._form(head, body, reply)
        elif head.path in authzen.ENDPOINTS:
            found = await self._evaluations.answer(head, body, self._shown(head, reply))
            if found.status == _OK:
                reply.on_proven()
            reply.give(found.body, kind=found.kind, status=found.status, headers=found.headers)
        elif head.listed is not None:
            await self._published(ShowStatusList(number=head.listed), _STATUS_LIST, reply)
        elif head.found is None:
            await self._document(head, reply)
        else:
            await self._operation(head, head.found, body, reply)

    async def _pace(self, head: Head, reply: Reply) -> None:
        """A token that cannot be ours does not wait: it counts as no credential."""
        credential, rates = _credential_of(head), self._plugs.rates
        with leaving(reply):
            if credential is None or await self._is_made_up(credential, head, reply):
                rates.take(reply.address)
            else:
                await rates.admit(reply.address, credential)

    async def _is_made_up(self, credential: str, head: Head, reply: Reply) -> bool:
        if credential != head.headers.get("authorization"):
            return False
        known = self._plugs.rates.identity(reply.address, credential)
        return not known and not await self._claimed.can_be_ours(credential)

    def _believe(self, connection: Connection, address: str, credential: str) -> None:
        rates = self._plugs.rates
        identity = rates.identity(address, credential) or identity_of(credential)
        self.prove(connection, identity or network_of(address))  # whose a form is the daemon alone knows
        rates.believe(address, credential, identity)

    async def _page(self, head: Head, body: bytes, reply: Reply) -> None:
        found = pages.find_page(head.path)
        if found is None:
            await self._pages.serve(head, body, reply)
        elif found.approval:
            await self._approvals.serve(head, found.approval, body, reply)
        else:
            await self._sign_in.serve(head, found, body, reply)

    # --- what is answered ------------------------------------------------------------------------

    async def _operation(self, head: Head, found: Found, body: bytes, reply: Reply) -> None:
        if not head.headers.get("authorization"):
            raise NoProofError("the request shows no proof of who asks")
        if not found.route.reads and head.headers.get("idempotency-key") == "":
            raise BadRequestKeyError("the key of the request is empty")
        query, paged = dict(head.query), found.route.page
        if paged:
            query = self._from_cursor(found.route.path, query)
        shown = self._shown(head, reply)
        if found.route.operation == _ASKS:
            ask = await self._action(found, query, body, shown)
        else:
            ask = read_ask(found, query, body)
        answer = await self._plugs.link.ask(ask, shown, patience=found.route.patience)
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        reply.on_proven()
        if isinstance(answer, NotPermitted):
            reply.tell(acting.refusal_of(answer))
            return
        told = msgspec.json.encode(answer)
        if isinstance(answer, _Rows):
            told = self._with_cursor(found.route, query, answer, told)
        reply.give(told)

    async def _action(self, found: Found, query: Mapping[str, str], body: bytes, shown: Shown) -> Ask:
        try:
            return acting.read_action(found, query, body)
        except MalformedError as error:
            answer = await self._plugs.link.ask(acting.unread(error, body), shown, patience=_SIGNS)
            if isinstance(answer, Fault):
                raise RefusedByDaemonError(answer) from error
            raise

    def _shown(self, head: Head, reply: Reply, *, key: str | None = None) -> Shown:
        return Shown(
            method=head.verb,
            uri=self._plugs.origin + head.path,
            authorization=head.headers.get("authorization", ""),
            dpop=head.headers.get("dpop", ""),
            chain=tuple(b64encode(one).decode("ascii") for one in reply.chain),
            address=reply.address,
            trace=reply.trace,
            key=_key_of(head) if key is None else key,
        )

    def _from_cursor(self, path: str, query: dict[str, str]) -> dict[str, str]:
        if "before" in query:
            raise BadQueryError("the route takes no parameter `before`: a `cursor` says where a page begins")
        cursor = query.pop("cursor", None)
        if cursor is None:
            return query
        return {**query, "before": self._plugs.cursors.take(path, query, cursor)}

    def _with_cursor(
        self,
        route: Route,
        query: Mapping[str, str],
        answer: _Rows,
        told: bytes,
    ) -> bytes:
        if not (answer.more and answer.rows):
            return told
        asked = {name: value for name, value in query.items() if name != "before"}
        cursor = self._plugs.cursors.give(route.path, asked, getattr(answer.rows[-1], route.page))
        return told[:-1] + b',"next":"%b"}' % cursor.encode("ascii")

    async def _form(self, head: Head, body: bytes, reply: Reply) -> None:
        try:
            ask = oauth.read_ask(head.path, head.headers, head.query, body)
            answer = await self._plugs.link.ask(ask, self._shown(head, reply, key=""), patience=_SIGNS)
            found = oauth.told(answer, ask)
            if found.status == _OK and isinstance(ask, AskToken | IntrospectToken):
                reply.on_proven()  # what is given back is confirmed to any client
        except TaskboundError as error:
            found = oauth.refused(error)
        reply.give(found.body, status=found.status, headers=found.headers)

    async def _published(self, ask: ShowStatusList | ShowTokenJwks, kind: str, reply: Reply) -> None:
        answer = await self._plugs.link.ask(ask, None, patience=_SIGNS)
        if isinstance(answer, Published):
            reply.give(answer.text.encode("ascii"), kind=kind)  # the daemon paces it itself
        else:
            reply.refuse(answer if isinstance(answer, Fault) else TaskboundError("nothing was published"))

    async def _document(self, head: Head, reply: Reply) -> None:
        match head.path:
            case "/readyz":
                answer = await self._plugs.link.ask(Ping(), None, patience=_LIVES)
                if not isinstance(answer, Done):
                    raise DaemonLostError("the daemon does not serve the API")
                reply.give(b'{"ready":true}')
            case "/metrics":
                await self._counted(head, reply)
            case "/.well-known/jwks.json":
                await self._published(ShowTokenJwks(), "application/jwk-set+json", reply)
            case oauth.METADATA:
                reply.give_document(self._authorizing, had=head.headers.get("if-none-match", ""))
            case request_id.METADATA:
                if self._deciding is None:
                    raise UnknownPathError("a decision point is known by https, and this one is not")
                told = head.headers.get("if-none-match", "")
                reply.give_document(self._deciding, had=told, vary=REQUEST_ID)
            case "/openapi.json":
                reply.give_document(self._openapi, had=head.headers.get("if-none-match", ""))
            case pages.STYLE_PATH:
                reply.give_document(pages.STYLE, kind="text/css", had=head.headers.get("if-none-match", ""))
            case path if path in FILES:
                told = head.headers.get("if-none-match", "")
                reply.give_document(self._pages.files[path], kind=FILES[path], had=told)
            case _:
                reply.give_document(self._resource, had=head.headers.get("if-none-match", ""))

    async def _counted(self, head: Head, reply: Reply) -> None:
        if not _is_near(reply.address):
            answer = await self._plugs.link.ask(Status(), self._shown(head, reply), patience=_LIVES)
            if not isinstance(answer, StatusReport):
                reply.refuse(
                    answer if isinstance(answer, Fault) else TaskboundError("the daemon gave no status")
                )
                return
        self.metrics.untold = self._telling.untold
        reply.give(self.metrics.text(await self._told_counts()), kind=KIND)

    async def _told_counts(self) -> Counted | None:
        try:
            answer = await self._plugs.link.ask(ShowCounts(), None, patience=_LIVES)
        except TaskboundError:
            return None
        return answer if isinstance(answer, Counted) else None


def _methods_of(path: str) -> str:
    found = pages.find_page(path)
    return ConsentPages.methods_of(path) if found is None else found.verb


def _credential_of(head: Head | None) -> str | None:
    """Returns the shown credential: empty if it is in the body, None for none."""
    if head is None:
        return None
    if head.path in oauth.ENDPOINTS:
        return ""
    return head.headers.get("authorization") or head.headers.get("cookie") or None


def _label(head: Head | None) -> tuple[str, str]:
    """Returns the metrics label, free of the client's input."""
    if head is None:
        return "", ""
    if head.page:
        found = pages.find_page(head.path)
        return head.verb, label_of(head.path) if found is None else found.path
    if head.listed is not None:
        return head.verb, "/oauth/status/{number}"
    return head.verb, head.path if head.found is None else head.found.route.path


def _key_of(head: Head) -> str:
    return "" if head.verb in {"GET", "HEAD"} else head.headers.get("idempotency-key", "")


def _is_near(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _resource(origin: str) -> dict[str, object]:
    """RFC 9728 §2."""
    return {
        "resource": origin,
        "authorization_servers": [origin],
        "bearer_methods_supported": ["header"],
        "dpop_bound_access_tokens_required": True,
        "dpop_signing_alg_values_supported": ["ES256"],
        "tls_client_certificate_bound_access_tokens": True,
        "scopes_supported": ["operations", "task"],
        "resource_name": "Taskbound",
    }


_SEAL: Final = 16
_LONGEST: Final = 512


class Cursors:
    """Issues and opens cursors."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def give(self, path: str, query: Mapping[str, str], before: str) -> str:
        """Returns the cursor of the page after this name."""
        raw = before.encode()
        return encode_base64url(self._seal(path, query, raw) + raw)

    def take(self, path: str, query: Mapping[str, str], cursor: str) -> str:
        """Returns the name that a page follows; raises BadCursorError (rules 1 and 2)."""
        raw = decode_base64url(cursor) if len(cursor) <= _LONGEST else None
        if raw is None or not hmac.compare_digest(raw[:_SEAL], self._seal(path, query, raw[_SEAL:])):
            raise BadCursorError("the cursor was not given out for this question")
        try:
            return raw[_SEAL:].decode()
        except UnicodeDecodeError as error:
            raise BadCursorError("the cursor was not given out for this question") from error

    def _seal(self, path: str, query: Mapping[str, str], raw: bytes) -> bytes:
        asked = canonical({"path": path, "query": dict(query)})
        return hmac.digest(self._key, sha256(asked).digest() + raw, "sha256")[:_SEAL]


_FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Traced:
    """One request, with or without a span."""

    take: Callable[[Span], None] | None
    here: Trace | None = None
    parent: str = NO_SPAN
    began: int = 0

    @property
    def text(self) -> str:
        """Returns the trace context for the daemon; empty for none."""
        return "" if self.here is None else self.here.text

    def answered(self, verb: str, route: str, status: int) -> None:
        """Ends the span (rule 2)."""
        if self.take is None or self.here is None or not self.here.sampled:
            return
        told: dict[str, str | int] = {"http.request.method": verb, "http.route": route}
        self.take(
            Span(
                name=f"{verb} {route}".strip() or "request",
                trace=self.here.trace,
                span=self.here.span,
                parent=self.parent,
                began=self.began,
                ended=time.time_ns(),
                attributes={**told, "http.response.status_code": status},
                failed=status >= _FAILED,
                serves=True,
            )
        )


class Tracing:
    """Begins the span of each request."""

    def __init__(self, take: Callable[[Span], None] | None) -> None:
        self._take = take

    def begin(self, traceparent: str) -> Traced:
        """Begins a request with this header, empty for none (rule 1)."""
        if self._take is None:
            return Traced(None)
        said = parse_trace(traceparent)
        own = Trace(trace=secrets.token_hex(16), span=secrets.token_hex(8))
        if said is None:
            return Traced(self._take, own, NO_SPAN, time.time_ns())
        return Traced(self._take, replace(said, span=own.span), said.span, time.time_ns())
