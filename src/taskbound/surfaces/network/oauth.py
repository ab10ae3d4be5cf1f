"""The OAuth endpoints, shares of capacity, and metrics.

Of `oauth`:
1. The process verifies no client: form, `DPoP` header and certificate go to the daemon.
2. A refusal is JSON with `error` (RFC 6749 §5.2). An unproven client gets 401 and a challenge without a
   reason; unavailability is 503; everything else is 400 with a text. A refused code or refresh token is
   `invalid_grant` unless it has another name.
3. Texts have no character that would end or escape a quoted string (§5.2).
4. The metadata names only what this server does (RFC 8414 §2); its issuer is the exact origin.
Of `claimed`:
1. A token may be ours if it is an access token of this issuer with a published key. Its signature is not
   verified here: this process has no cryptography.
2. Keys are fetched again for an unknown one, at most once a second.
3. The identity of a verified token is its client in its namespace.
Of `shares`:
1. An identity may use as many requests as it leaves free, an unproven network a third of that, so that each
   leaves room for the next.
2. A part is reserved for identities.
3. Beyond that a request is refused at once. A request whose client left counts until the daemon answers.
Of `metrics`:
1. A label is a route or a status, never a client's input, so requests cannot create series.
2. There is no client library: the process counts six things.
3. The daemon's counters are included while it answers (`taskbound_daemon_up`) and left out otherwise.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.token.exchange import GRANT, OAUTH_ERRORS
from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.surfaces.http.rate import network_of
from taskbound.surfaces.network.errors import ApiBusyError
from taskbound.surfaces.network.problem import read_form
from taskbound.wire.authorization import (
    CODE,
    CREDENTIALS,
    REFRESH,
    AskToken,
    GiveBackToken,
    Introspected,
    IntrospectToken,
    Published,
    ShowTokenJwks,
    TokenGiven,
)
from taskbound.wire.connection import Done, Fault
from taskbound.wire.jose import parse_access_token, parse_jwks
from taskbound.wire.jose.kinds import CLIENT_ASSERTION, JWT_SVID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.surfaces.network.problem import Link
    from taskbound.wire.authorization import ClientForm
    from taskbound.wire.envelope import Answer
    from taskbound.wire.jose import UnverifiedJws
    from taskbound.wire.network import Counted


ENDPOINTS: Final[Mapping[str, type[ClientForm]]] = {
    "/oauth/introspect": IntrospectToken,
    "/oauth/revoke": GiveBackToken,
    "/oauth/token": AskToken,
}
"""Where forms are posted, and what each asks."""
METADATA: Final = "/.well-known/oauth-authorization-server"
_REFRESHES: Final = ("grant_type", REFRESH)
_PUBLIC: Final = {"revocation": ("none",)}
"""What clients may ask that nothing proves, beside those of grants that the metadata does not name yet."""
_UNSAID: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_LONGEST: Final = 300
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthAnswer:
    """One answer of an endpoint."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def read_ask(path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> ClientForm:
    """Converts a form to the daemon's message; raises as `read_form`."""
    form = read_form(headers, query, body)
    return ENDPOINTS[path](form=tuple(form.items()))


def told(answer: Answer, asked: ClientForm) -> OAuthAnswer:
    """Renders the daemon's answer to a form."""
    match answer:
        case TokenGiven():
            return OAuthAnswer(status=200, body=msgspec.json.encode(_plain(answer)))
        case Introspected():
            return OAuthAnswer(status=200, body=answer.claims.encode())
        case Done():
            return OAuthAnswer(status=200, body=b"")
        case Fault():
            return refused(answer, granting=("grant_type", CODE) in asked.form or _REFRESHES in asked.form)
        case _:
            return OAuthAnswer(status=500, body=msgspec.json.encode({"error": "server_error"}))


def refused(error: TaskboundError | Fault, *, granting: bool = False) -> OAuthAnswer:
    """Renders a refusal (rules 2 and 3); `granting` for a code or a refresh token."""
    name = _name(error, granting=granting)
    if name == "invalid_client":
        challenge = ("WWW-Authenticate", 'DPoP algs="ES256", error="invalid_client"')
        return OAuthAnswer(status=401, body=msgspec.json.encode({"error": name}), headers=(challenge,))
    if name == "temporarily_unavailable":
        status = _TOO_MANY if error.code == TooManyRequestsError.code else 503
        return OAuthAnswer(
            status=status, body=msgspec.json.encode({"error": name}), headers=(("Retry-After", "1"),)
        )
    words = _UNSAID.sub("'", error.message)[:_LONGEST]
    return OAuthAnswer(status=400, body=msgspec.json.encode({"error": name, "error_description": words}))


def metadata(origin: str) -> bytes:
    """Returns the server metadata (rule 4)."""
    methods = ["private_key_jwt", "spiffe_jwt", "spiffe_x509"]
    signed = sorted(one.value for one in CLIENT_ASSERTION.header.algorithms | JWT_SVID.header.algorithms)
    proving: dict[str, object] = {}
    for one in ("token", "introspection", "revocation"):
        proving[f"{one}_endpoint_auth_methods_supported"] = [*methods, *_PUBLIC.get(one, ())]
        proving[f"{one}_endpoint_auth_signing_alg_values_supported"] = signed
    return msgspec.json.encode(
        {
            "issuer": origin,
            "authorization_endpoint": f"{origin}/oauth/authorize",
            "token_endpoint": f"{origin}/oauth/token",
            "introspection_endpoint": f"{origin}/oauth/introspect",
            "revocation_endpoint": f"{origin}/oauth/revoke",
            "jwks_uri": f"{origin}/.well-known/jwks.json",
            "grant_types_supported": [CODE, REFRESH, CREDENTIALS, GRANT],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
            "scopes_supported": ["operations", "service", "task"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "tls_client_certificate_bound_access_tokens": True,
            "authorization_details_types_supported": ["taskbound_task"],
            **proving,
            "token_endpoint_auth_methods_supported": [*methods, "none"],
        }
    )


def _plain(answer: TokenGiven) -> dict[str, object]:
    found = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return {name: value for name, value in found.items() if value not in {"", ()}}


def _name(error: TaskboundError | Fault, *, granting: bool) -> str:
    if error.family in {"unavailable", ""}:
        return "temporarily_unavailable"
    if error.family == "unproven":
        return "invalid_client"
    if error.where == "DPoP":
        return "invalid_dpop_proof"  # RFC 9449 §5
    return OAUTH_ERRORS.get(
        error.code, "invalid_grant" if granting and error.family == "denied" else "invalid_request"
    )


_AGAIN: Final = 1.0
"""Seconds between two readings of the keys (rule 2)."""
_PATIENCE: Final = 2.0


class TokenRecognizer:
    """Recognizes tokens that may be ours; used in the loop."""

    def __init__(self, link: Link, issuer: str, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._link = link
        self._issuer = issuer
        self._clock = clock
        self._kids: frozenset[str] = frozenset()
        self._next = float("-inf")
        self._turn = asyncio.Lock()

    async def can_be_ours(self, authorization: str) -> bool:
        """Returns whether the daemon should be asked about the token (rule 1)."""
        token = _token_of(authorization)
        if token is None or token.claimed.issuer != self._issuer:
            return False
        if token.header.kid not in self._kids:
            async with self._turn:
                if token.header.kid not in self._kids and self._clock() >= self._next:
                    await self._read()
        return token.header.kid in self._kids

    async def _read(self) -> None:
        try:
            answer = await self._link.ask(ShowTokenJwks(), None, patience=_PATIENCE)
            if isinstance(answer, Published):
                self._kids = frozenset(one.kid for one in parse_jwks(answer.text.encode("ascii")))
        except TaskboundError:
            return  # the next such token asks again
        finally:
            self._next = self._clock() + _AGAIN


def identity_of(authorization: str) -> str:
    """Returns the identity of a verified token (rule 3); empty for none."""
    token = _token_of(authorization)
    rest = {} if token is None else token.claimed.rest
    return "" if token is None else f"{rest['namespace']} {rest['client_id']}"


def _token_of(authorization: str) -> UnverifiedJws | None:
    try:
        return parse_access_token(authorization.partition(" ")[2].strip(" "))
    except TaskboundError:
        return None


_OPEN: Final = 192
"""Requests that are answered at once: fewer than the daemon reads from one connection (`OPEN_REQUESTS`)."""
_PART: Final = 3
"""A network's part of what is free (rule 1): 15 networks that hold all they get take the last one."""
_RESERVE: Final = 48
"""Of these, for identities alone (rule 2)."""


class Shares:
    """The requests in progress; used in the loop."""

    def __init__(self, *, most: int = _OPEN, reserve: int = _RESERVE) -> None:
        self._most = most
        self._reserve = reserve
        self._proven: Counter[str] = Counter()
        """By identity."""
        self._unproven: Counter[str] = Counter()
        """By network."""

    @contextmanager
    def held(self, *, identity: str, address: str) -> Iterator[None]:
        """Counts a request while it is answered; raises ApiBusyError beyond the share.

        `identity` is empty until proven; `address` is the client's.
        """
        free = self._most - self._proven.total() - self._unproven.total()
        if not identity:
            free = min(free, self._most - self._reserve - self._unproven.total())  # 2
        group, who = (self._proven, identity) if identity else (self._unproven, network_of(address))
        if group[who] >= (free if identity else free / _PART):
            raise ApiBusyError("so many requests wait for the daemon that this one is not asked")  # 1
        group[who] += 1
        try:
            yield
        finally:
            group[who] -= 1
            if not group[who]:
                del group[who]


KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[tuple[str, str], list[int]] = {}
        self._sum: dict[tuple[str, str], float] = {}
        self.connections = 0
        """Open now."""
        self.opened = 0
        """Since the start."""
        self.untold = 0
        """Refusals that the daemon did not confirm to have recorded."""

    def count(self, verb: str, route: str, status: int, seconds: float) -> None:
        """Counts an answered request; `route` is the pattern of the path, empty for none."""
        self._answers[verb, route, status] += 1
        buckets = self._seconds.setdefault((verb, route), [0] * (len(_BOUNDS) + 1))
        buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._sum[verb, route] = self._sum.get((verb, route), 0.0) + seconds

    def text(self, counted: Counted | None) -> bytes:
        """Renders all; `counted` are the daemon's counters, None while it does not answer (rule 3)."""
        lines = [
            "# HELP taskbound_api_requests_total Requests that were answered.",
            "# TYPE taskbound_api_requests_total counter",
        ]
        for (verb, route, status), count in sorted(self._answers.items()):
            labels = f'method="{verb}",route="{route}",status="{status}"'
            lines.append(f"taskbound_api_requests_total{{{labels}}} {count}")
        lines += [
            "# HELP taskbound_api_request_seconds From a whole request to its answer.",
            "# TYPE taskbound_api_request_seconds histogram",
        ]
        for (verb, route), buckets in sorted(self._seconds.items()):
            labels, below = f'method="{verb}",route="{route}"', 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
                below += count
                lines.append(f'taskbound_api_request_seconds_bucket{{{labels},le="{bound}"}} {below}')
            lines.append(f"taskbound_api_request_seconds_sum{{{labels}}} {self._sum[verb, route]:.6f}")
            lines.append(f"taskbound_api_request_seconds_count{{{labels}}} {below}")
        lines += [
            "# HELP taskbound_api_connections Connections that are open.",
            "# TYPE taskbound_api_connections gauge",
            f"taskbound_api_connections {self.connections}",
            "# HELP taskbound_api_connections_total Connections that were taken.",
            "# TYPE taskbound_api_connections_total counter",
            f"taskbound_api_connections_total {self.opened}",
            "# HELP taskbound_api_untold_total Refusals that could not be reported to the daemon.",
            "# TYPE taskbound_api_untold_total counter",
            f"taskbound_api_untold_total {self.untold}",
            *_of_daemon(counted),
        ]
        return "".join(f"{line}\n" for line in lines).encode("ascii")


def _of_daemon(counted: Counted | None) -> list[str]:
    lines = _gauge("taskbound_daemon_up", "Whether the daemon answers.", int(counted is not None))
    if counted is None:
        return lines
    for name, words, value in (
        ("taskbound_brokers", "Brokers that are connected to the daemon.", counted.brokers),
        ("taskbound_credentials_living", "Credentials that live or are being minted.", counted.living),
        ("taskbound_credentials_revoking", "Credentials that are being revoked.", counted.revoking),
        ("taskbound_credentials_overdue", "Of these since more than a minute.", counted.overdue),
        (
            "taskbound_credentials_oldest_revocation_seconds",
            "How long the oldest revocation has been under way.",
            counted.oldest,
        ),
    ):
        lines += _gauge(name, words, value)
    return lines


def _gauge(name: str, words: str, value: int) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} gauge", f"{name} {value}"]
