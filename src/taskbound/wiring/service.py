"""A service's client of its issuer: revocation feed, token introspection, shared claims.

    from taskbound.wiring.service import ServiceLink, read_key

    link = ServiceLink(issuer="https://as.example", name="payments", key=read_key(Path("payments.pem")))
    reader, follower = link.follow()
    verifier = guard(name="payments", …, status=reader, asking=link.asking(), claims=link.claims())

It needs the extra `services`, and the service registered with this key.

1. The service's key signs single-use client assertions. The feed token is bound to a key generated here and
   is renewed before it expires.
2. A request refused with 401 was not processed; it is sent once more with a new token and the issuer's nonce.
3. Requests don't block each other: a feed request may wait for seconds. Threads only wait for each other
   while a token is obtained.
4. A refusal is raised with the issuer's code; `other-log` makes the feed reader start over. An unreachable
   issuer also raises and never makes the feed fresh.
5. Loss of the feed is logged once per reason, for at most twenty reasons, and so is its recovery.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import quote, urlencode

import msgspec

from taskbound.adapters.claims import Seal, SharedClaims
from taskbound.adapters.keys.es256 import Es256Key, read_pem
from taskbound.core.action import parse_object
from taskbound.core.action.text import escape_rest
from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.core.identity.proof import DEFAULT_NAMESPACE
from taskbound.core.token.values import service_name
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.sdk.feed import FeedFollower, FeedReader
from taskbound.sdk.fresh import awake
from taskbound.sdk.guard.proof import dpop
from taskbound.sdk.verify import Asking
from taskbound.sdk.verify.keys import anew_in_children
from taskbound.wire.connection import Done, Fault
from taskbound.wire.jose import CLIENT_ASSERTION, parse_jwk, write_jws
from taskbound.wire.token import FeedRows
from taskbound.wire.workload import AnswerRequest, BeginRequest, RequestRow, UseProof
from taskbound.wiring.issuer import require_issuer, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from ssl import SSLContext

    from taskbound.adapters.claims.shared import Asked
    from taskbound.core.action import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.wire.token import ReadFeed
    from taskbound.wiring.issuer import IssuerAnswer


_log = logging.getLogger(__name__)
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_LIFE: Final = 60
"""Seconds that a statement about the service lives."""
_EARLY: Final = 0.8
"""The part of a token's life after which another one is asked for."""
_MOST: Final = 4 * 1024 * 1024
_FINE: Final = 200
_UNPROVEN: Final = 401
_TOKEN: Final = "/oauth/token"  # noqa: S105 - a path and no secret
_FEED: Final = "/v1/revocations"
_INTROSPECT: Final = "/oauth/introspect"
_REQUESTS: Final = "/v1/service/requests"
_PROOFS: Final = "/v1/service/proofs"
_REASONS: Final = 20
"""Reasons that are said of one time in which the feed is not heard (rule 5)."""
_INVALID_CLIENT: Final = "invalid_client"
_UNKNOWN: Final = (
    "look with `taskbound service show` whether this key proves this service, and with `taskbound audit tail`"
    " why it was refused (`proof-refused`)"
)
"""Whom the issuer does not believe it tells no more than that (RFC 6749 §5.2)."""
_BUSY: Final = frozenset({408, 425, 429})
"""What is no refusal of what was asked, though HTTP counts it as the client's."""
_MALFORMED: Final = frozenset({400, 405, 411, 413, 415, 422})


class BadServiceKeyError(MalformedError):
    """The file is no usable service key."""

    code = "bad-service-key"
    remedy = "make one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out payments.pem`"


class IssuerSilentError(UnavailableError):
    """The issuer can't be reached, or its answer can't be parsed."""

    code = "issuer-silent"
    remedy = "look whether the issuer is reached from here, and whether its certificate is believed"


def read_key(path: Path) -> Es256Key:
    """Reads a P-256 private key from a PEM file without passphrase; raises BadServiceKeyError."""
    try:
        return read_pem(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadServiceKeyError(f"`{path}` has no private key on P-256: {error}") from error


class ServiceLink:
    """A service's connection to its issuer. Safe from any thread."""

    def __init__(
        self,
        *,
        issuer: str,
        name: str,
        key: Es256Key,
        namespace: str = DEFAULT_NAMESPACE,
        tls: SSLContext | None = None,
    ) -> None:
        """Configures the link; nothing is requested yet.

        Args:
            issuer: `iss` of tokens and address of the issuer.
            name: The service's registered name.
            key: One of its registered keys.
            namespace: The service's namespace.
            tls: Verifies the issuer's certificate; the system's authorities by default.

        Raises:
            BadIssuerNameError: The issuer's name is no usable address.
        """
        require_issuer(issuer)
        self._issuer, self._tls = issuer, tls
        self._key, self._bound = key, Es256Key.generate()
        self._plain, self._name, self._namespace = name, service_name(namespace, name), namespace
        self._token, self._renew, self._nonce = "", float("-inf"), ""
        self._begin_anew()
        anew_in_children(self, ServiceLink._begin_anew)  # a thread may hold the lock when this process forks

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()

    def follow(
        self, *, failed: Callable[[TaskboundError], None] = lambda _: None
    ) -> tuple[FeedReader, FeedFollower]:
        """Returns a reader of the namespace's feed and the running thread that keeps it fresh.

        `failed` is called in that thread after each failed request, besides the log (rule 5).
        """
        reader, hearing = FeedReader(self._namespace), _Hearing()

        def fetch(ask: ReadFeed) -> FeedRows:
            rows = self.fetch(ask)
            hearing.hears()
            return rows

        def unheard(error: TaskboundError) -> None:
            hearing.hears_nothing(error)
            failed(error)

        follower = FeedFollower(reader, fetch, failed=unheard)
        follower.start()
        return reader, follower

    def asking(self) -> Asking:
        return Asking(self._introspect)

    def claims(self, *, takes: int = 30, seal: bytes = b"") -> SharedClaims:
        """Returns the service's claims, which the daemon keeps for all of its machines.

        Args:
            takes: Maximum duration of a request in seconds. After that, a repeat of an unanswered request
                gets "outcome unknown" instead of "in progress".
            seal: A secret of 16 or 32 bytes shared by the service's machines that encrypts stored answers;
                empty to store none.
        """
        return SharedClaims(self._plain, self._exchanged, takes=takes, seal=Seal(seal) if seal else None)

    def fetch(self, ask: ReadFeed) -> FeedRows:
        """Returns the feed's rows after a position; raises RefusedByDaemonError or IssuerSilentError."""
        told = {"after": ask.after, "mark": ask.mark, "limit": ask.limit, "wait": ask.wait}
        query = urlencode({name: one for name, one in told.items() if one != ""})
        answer = self._shown("GET", f"{_FEED}?{query}")
        if answer.status != _FINE:
            raise _refusal(answer)
        try:
            return msgspec.json.decode(answer.body, type=FeedRows)
        except msgspec.MsgspecError as error:
            raise IssuerSilentError("what the issuer says of the feed can't be read") from error

    def _exchanged(self, ask: Asked) -> RequestRow | Done | Fault:
        method, target = _address(ask)
        told = {name: one for name, one in msgspec.to_builtins(ask).items() if name != "op"}
        if isinstance(ask, AnswerRequest):
            del told["txn"]  # it stands in the path
        kind: type[RequestRow | Done] = RequestRow if isinstance(ask, BeginRequest) else Done
        try:
            answer = self._shown(method, target, msgspec.json.encode(told))
            return msgspec.json.decode(answer.body, type=kind) if answer.status == _FINE else _fault(answer)
        except RefusedByDaemonError as error:
            return error.fault
        except msgspec.MsgspecError as error:
            raise IssuerSilentError("what the issuer says of a claim can't be read") from error

    def _shown(self, method: str, target: str, body: bytes | None = None) -> IssuerAnswer:
        token = self._fresh("")
        answer = self._asked(method, target, body, token)
        if answer.status == _UNPROVEN:
            answer = self._asked(method, target, body, self._fresh(token))
        return answer

    def _asked(self, method: str, target: str, body: bytes | None, token: str) -> IssuerAnswer:
        proof = self._proof(method, target.partition("?")[0], token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._sent(method, target, headers, body)

    def _fresh(self, refused: str) -> str:
        with self._lock:
            return self._token if awake() < self._renew and self._token != refused else self._renewed()

    def _renewed(self) -> str:
        nonce, asked = self._nonce, awake()
        answer = self._issued()
        if answer.status != _FINE and self._nonce != nonce:
            asked, answer = awake(), self._issued()
        if answer.status != _FINE:
            raise _refusal(answer)
        return self._taken(answer, asked)

    def _issued(self) -> IssuerAnswer:
        form = {"grant_type": "client_credentials", **self._proven()}
        headers = {**_FORM, "DPoP": self._proof("POST", _TOKEN, "")}
        return self._sent("POST", _TOKEN, headers, urlencode(form).encode())

    def _taken(self, answer: IssuerAnswer, asked: float) -> str:
        said = _object(answer)
        token, life = said.get("access_token"), said.get("expires_in")
        if not isinstance(token, str) or not isinstance(life, int):
            raise IssuerSilentError("the issuer's answer has no token in it")
        self._token, self._renew = token, asked + life * _EARLY
        return token

    def _introspect(self, text: str) -> bytes:
        answer = self._sent("POST", _INTROSPECT, _FORM, urlencode({"token": text, **self._proven()}).encode())
        if answer.status != _FINE:
            raise IssuerSilentError(f"the issuer says nothing of a token: {_refusal(answer).message}")
        return answer.body

    def _proven(self) -> dict[str, str]:
        now = int(time.time())
        claims: dict[str, JsonValue] = {
            "iss": self._name,
            "sub": self._name,
            "aud": self._issuer,
            "iat": now,
            "exp": now + _LIFE,
            "jti": secrets.token_urlsafe(16),
        }
        public = parse_jwk(parse_object(self._key.public))
        text = write_jws(claims, kind=CLIENT_ASSERTION, key=public, sign=self._key.sign)
        named = {} if self._namespace == DEFAULT_NAMESPACE else {"namespace": self._namespace}
        return {"client_assertion_type": _ASSERTION, "client_assertion": text, **named}

    def _proof(self, method: str, path: str, token: str) -> str:
        uri, now = self._issuer + path, int(time.time())
        return dpop(self._bound, method=method, uri=uri, now=now, token=token, nonce=self._nonce)

    def _sent(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> IssuerAnswer:
        try:
            answer = send(self._issuer, method, path, body=body, headers=headers, tls=self._tls, most=_MOST)
        except OSError as error:
            raise IssuerSilentError(f"the issuer can't be asked: {error}") from error
        self._nonce = answer.headers.get("dpop-nonce", self._nonce)
        return answer


class _Hearing:
    def __init__(self) -> None:
        self._said: set[str] = set()

    def hears(self) -> None:
        if self._said:
            _log.info("what ended is heard again")
        self._said.clear()

    def hears_nothing(self, error: TaskboundError) -> None:
        code = error.fault.code if isinstance(error, RefusedByDaemonError) else error.code
        said = escape_rest(f"{error.message} [{code}]")
        if said not in self._said and len(self._said) < _REASONS:
            self._said.add(said)
            advice = f"; what to do: {escape_rest(error.advice)}" if error.advice else ""
            _log.warning("what ended is not heard: %s%s", said, advice)


def _object(answer: IssuerAnswer) -> Mapping[str, object]:
    try:
        return parse_object(answer.body)
    except MalformedError as error:
        raise IssuerSilentError("the issuer's answer can't be read") from error


def _refusal(answer: IssuerAnswer) -> RefusedByDaemonError:
    said = _object(answer)

    def word(*names: str) -> str:
        return next((one for name in names if isinstance(one := said.get(name), str)), "")

    code = word("code", "error") or "issuer-silent"
    return RefusedByDaemonError(
        Fault(
            code=code,
            message=word("detail", "error_description") or f"the issuer answered with status {answer.status}",
            advice=word("advice") or (_UNKNOWN if code == _INVALID_CLIENT else ""),
            family=_family(answer.status),
        )
    )


def _address(ask: Asked) -> tuple[str, str]:
    match ask:
        case BeginRequest():
            return "POST", _REQUESTS
        case AnswerRequest(txn=txn):
            return "PUT", f"{_REQUESTS}/{quote(txn, safe='')}"
        case UseProof():
            return "POST", _PROOFS
        case _ as never:
            assert_never(never)


def _fault(answer: IssuerAnswer) -> Fault:
    return _refusal(answer).fault


def _family(status: int) -> str:
    if status == _UNPROVEN:
        return "unproven"
    if status in _MALFORMED:
        return "malformed"
    return "unavailable" if status in _BUSY or not 400 <= status < 500 else "denied"  # noqa: PLR2004 - HTTP's own classes
