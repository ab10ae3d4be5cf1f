"""The kinds of token that something here reads or writes.

Ours, signed by our signer with ES256: task, person, service and transaction tokens, and status lists. Signed
by who is registered here: client assertions. By issuers outside: evidence, JWT-SVIDs, workload tokens, ID
tokens. A DPoP proof is none of these: its key is in it (`dpop`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits
from taskbound.core.clock import days, hours, minutes
from taskbound.wire.jose.algorithm import FOREIGN, SPIFFE, Algorithm
from taskbound.wire.jose.kind import EVERY, ClaimForm, HeaderForm, Issuing, TokenKind

if TYPE_CHECKING:
    from collections.abc import Mapping


_TEXT: Final = ClaimForm.TEXT
_OURS: Final = HeaderForm(algorithms=frozenset({Algorithm.ES256}))
_LIFE: Final = minutes(5)
"""How long a token of ours lives at most (I-44)."""

EVIDENCE: Final = TokenKind(typ="taskbound-evidence+jwt", lifetime=days(90), open=True)
"""What an issuer outside says that a task rests on."""

_ACCESS: Final[Mapping[str, ClaimForm]] = {"client_id": _TEXT, "scope": _TEXT, "namespace": _TEXT}
_ACCESS_TOO: Final[Mapping[str, ClaimForm]] = {
    "cnf": ClaimForm.OBJECT,
    "status": ClaimForm.OBJECT,
    "acr": _TEXT,
    "auth_time": ClaimForm.TIME,
}

TASK_TOKEN: Final = TokenKind(
    typ="at+jwt",
    lifetime=_LIFE,
    header=_OURS,
    required={
        **_ACCESS,
        "act": ClaimForm.OBJECT,
        "task": _TEXT,
        "authorization_details": ClaimForm.OBJECTS,
    },
    optional={**_ACCESS_TOO, "may_act": ClaimForm.OBJECT},
)
"""An access token (RFC 9068) whose authority is a task's; `cnf` is missing only where its row says so too."""

PERSON_TOKEN: Final = TokenKind(
    typ="at+jwt", lifetime=_LIFE, header=_OURS, required=_ACCESS, optional=_ACCESS_TOO
)
"""An access token (RFC 9068) for operations: without a task, which is what tells it from a task token."""

SERVICE_TOKEN: Final = TokenKind(
    typ="at+jwt",
    lifetime=_LIFE,
    header=_OURS,
    required={
        **_ACCESS,
        "service": _TEXT,
        "proven_by": _TEXT,
        "cnf": ClaimForm.OBJECT,
        "status": ClaimForm.OBJECT,
    },
)
"""An access token (RFC 9068) of a service, for what services ask: `service` tells it from a person's."""

TRANSACTION_TOKEN: Final = TokenKind(
    typ="txntoken+jwt",
    lifetime=_LIFE,
    header=_OURS,
    required={"txn": _TEXT, "scope": _TEXT, "req_wl": _TEXT, "tctx": ClaimForm.OBJECT},
    optional={"rctx": ClaimForm.OBJECT, "act": ClaimForm.OBJECT, "cnf": ClaimForm.OBJECT},
)
"""One permitted action (draft-ietf-oauth-transaction-tokens); its audience is a trust domain."""

STATUS_LIST: Final = TokenKind(
    typ="statuslist+jwt",
    lifetime=days(1),
    header=_OURS,
    every={
        "iss": _TEXT,
        "sub": _TEXT,
        "iat": ClaimForm.TIME,
        "exp": ClaimForm.TIME,
        "ttl": ClaimForm.COUNT,
        "status_list": ClaimForm.OBJECT,
    },
    size=1_048_576,
    limits=Limits(size=786_432, depth=3, parts=4),
)
"""Which tokens were revoked (draft-ietf-oauth-status-list §5.1): for whoever asks, so for no audience."""

_CLIENT: Final = HeaderForm(algorithms=frozenset({Algorithm.ES256}), lower_s=False)

CLIENT_ASSERTION: Final = TokenKind(
    typ="client-authentication+jwt", lifetime=_LIFE, header=_CLIENT, issuing=Issuing.ITSELF, open=True
)
"""A client proves itself (rfc7523bis): `aud` is our issuer's name and nothing else; used once, by `jti`."""

UNTYPED_ASSERTION: Final = TokenKind(
    typ="JWT",
    lifetime=_LIFE,
    header=HeaderForm(
        algorithms=frozenset({Algorithm.ES256}), or_typ=frozenset({""}), nameless=True, lower_s=False
    ),
    issuing=Issuing.ITSELF,
    every={**EVERY, "sub": ClaimForm.NAME},
    never=frozenset({"nonce", "events"}),
    open=True,
)
"""The same by a library of before rfc7523bis, for clients that are registered so."""

JWT_SVID: Final = TokenKind(
    typ="JWT",
    lifetime=hours(1),
    header=HeaderForm(algorithms=SPIFFE, or_typ=frozenset({"", "JOSE"}), published=True, lower_s=False),
    issuing=Issuing.DOMAIN,
    every={"sub": ClaimForm.SPIFFE, "aud": ClaimForm.ONE, "exp": ClaimForm.TIME},
    optional={"iss": _TEXT, "iat": ClaimForm.TIME, "jti": _TEXT},
    open=True,
)
"""A workload of a trust domain (SPIFFE, JWT-SVID §2, §3)."""

_FOREIGN: Final = HeaderForm(
    algorithms=FOREIGN,
    or_typ=frozenset({""}),
    nameless=True,
    published=True,
    passed_over=frozenset({"x5t", "x5t#S256"}),
    lower_s=False,
)
_ISSUED: Final[Mapping[str, ClaimForm]] = {
    **{name: EVERY[name] for name in ("iss", "aud", "iat", "exp")},
    "sub": ClaimForm.NAME,
}

WORKLOAD_TOKEN: Final = TokenKind(
    typ="JWT",
    lifetime=days(1),
    header=_FOREIGN,
    issuing=Issuing.ANOTHER,
    every=_ISSUED,
    optional={"jti": _TEXT},
    never=frozenset({"nonce", "events"}),
    open=True,
)
"""A workload by an issuer's word: a service account of Kubernetes, a job of GitHub Actions, any other."""

ID_TOKEN: Final = TokenKind(
    typ="JWT",
    lifetime=days(1),
    header=_FOREIGN,
    issuing=Issuing.ANOTHER,
    every=_ISSUED,
    required={"nonce": _TEXT},
    optional={"jti": _TEXT, "azp": _TEXT, "acr": _TEXT, "amr": ClaimForm.TEXTS, "auth_time": ClaimForm.TIME},
    never=frozenset({"events"}),
    audience_again="azp",
    open=True,
)
"""A person who signed in at an issuer (OpenID Connect Core §2); it has the `nonce` that we always send."""

KINDS: Final[tuple[TokenKind, ...]] = (
    EVIDENCE,
    TASK_TOKEN,
    PERSON_TOKEN,
    SERVICE_TOKEN,
    TRANSACTION_TOKEN,
    STATUS_LIST,
    CLIENT_ASSERTION,
    UNTYPED_ASSERTION,
    JWT_SVID,
    WORKLOAD_TOKEN,
    ID_TOKEN,
)
"""Every one of them."""
