"""The kinds of tokens: their headers and claims.

Of `kinds`: our signer signs task, person, service and transaction tokens and status lists with ES256;
registered agents and services sign client assertions; issuers outside sign evidence, JWT-SVIDs, workload
tokens and ID tokens. A DPoP proof contains its own key (`dpop`).
Of `kind`:
1. No token is of two kinds (RFC 8725bis §3.11). Most differ in `typ`; kinds of outside issuers, with `JWT` or
   no `typ`, differ by issuer and by a claim that one requires and the other forbids.
2. Our kinds have one header and one spelling of a signature. Kinds that others sign may have two, so those
   are never remembered by their text (`gate`).
Of `header`:
1. It has `alg`, `kid` and `typ`, each a text. A kind may omit `typ` or `kid`, and may ignore other names
   (`kind.HeaderForm`), which must be texts.
2. Every other member is refused by name: `jwk`, `jku`, `x5u` and `x5c` would select the key, `crit`, `b64`
   and `zip` what is signed (RFC 7515 §4.1, RFC 7797, RFC 8725bis §3).
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, escape_text, parse_object
from taskbound.core.clock import Duration, days, hours, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.errors import TokenHeaderError
from taskbound.wire.jose.key import FOREIGN, KID, NAMES, OURS, SPIFFE, Algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping


SKEW: Final = seconds(30)
"""How far an issuer's clock may be ahead of ours."""


class ClaimForm(Enum):
    """The form of a claim; an integer is never a boolean, a fraction or a text of digits."""

    TEXT = "a text of 1 to 512 characters"
    NAME = "a text of 1 to 512 characters that is no SPIFFE ID"
    SPIFFE = "the SPIFFE ID of a workload, with a path"
    URI = "a text of 1 to 2,048 characters"
    TIME = "whole seconds since 1970, spelled as an integer"
    COUNT = "a whole number from 1 to 2,147,483,647"
    ONE = "one text, alone or the only one of a list"
    TEXTS = "a list of at most 64 texts"
    OBJECT = "an object"
    OBJECTS = "a list of 1 to 16 objects"

    __hash__ = object.__hash__  # each is itself alone, and `Enum` would ask for its name


EVERY: Final[Mapping[str, ClaimForm]] = {
    "iss": ClaimForm.TEXT,
    "sub": ClaimForm.TEXT,
    "aud": ClaimForm.ONE,
    "iat": ClaimForm.TIME,
    "exp": ClaimForm.TIME,
    "jti": ClaimForm.TEXT,
}
"""What every token of ours has."""


class Issuing(Enum):
    """Which issuer a token states."""

    NAMED = "`iss`, whatever `sub` is"
    ITSELF = "`iss`, which is `sub`"
    ANOTHER = "`iss`, which is not `sub`"
    DOMAIN = "the trust domain of `sub`"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderForm:
    """The permitted members of a header."""

    algorithms: frozenset[Algorithm] = OURS
    """What a token of this kind may be signed with; the key says with which."""
    or_typ: frozenset[str] = frozenset()
    """What `typ` may be beside the kind's own; the empty text is a header without one."""
    nameless: bool = False
    """Whether `kid` may be left out, where the issuer has one key and no more."""
    published: bool = False
    """Whether the keys, and their names, are as the issuer publishes them (`foreign`)."""
    passed_over: frozenset[str] = frozenset()
    """Texts that may stand there, and mean nothing here."""
    lower_s: bool = True
    """Whether a signature of ECDSA must be the one of the two with the lower `s` (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKind:
    """One kind of token."""

    typ: str
    """What the header's `typ` must be, character by character."""
    lifetime: Duration
    """How long at most from `iat` to `exp`."""
    header: HeaderForm = field(default_factory=HeaderForm)
    issuing: Issuing = Issuing.NAMED
    every: Mapping[str, ClaimForm] = field(default_factory=lambda: EVERY)
    """Claims that this kind and those like it have."""
    required: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it must have beside those."""
    optional: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it may have; `nbf` always is one."""
    never: frozenset[str] = frozenset()
    """Claims that make it a token of another kind, also when it is open (rule 1)."""
    audience_again: str = ""
    """A claim that names the audience once more where it stands (`azp`)."""
    open: bool = False
    """Whether it may have undeclared claims; they are kept and ignored."""
    skew: Duration = SKEW
    """How far `iat` and `nbf` may lie ahead of now. It lengthens no token: `exp` is exact."""
    size: int = 16_384
    """Characters of the whole token."""
    limits: Limits = field(default_factory=lambda: Limits(size=12_288, depth=8, parts=256))
    """How much the payload may hold."""
    needed: Mapping[str, ClaimForm] = field(init=False)
    """All that it must have."""
    allowed: Mapping[str, ClaimForm] = field(init=False)
    """All that it may have beside."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "needed", {**self.every, **self.required})
        object.__setattr__(self, "allowed", {"nbf": ClaimForm.TIME, **self.optional})


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
"""The revoked tokens (draft-ietf-oauth-status-list §5.1): public, so without an audience."""

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


_LIMITS: Final = Limits(size=512, depth=1, parts=1)
_LIMITS_PUBLISHED: Final = Limits(size=768, depth=1, parts=1)
"""Where names are longer (`key.NAMES`), and two thumbprints may stand beside them."""
_SHOWN: Final = 64
_REMEMBERED: Final = 256
"""Headers, of 768 bytes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The members of a header."""

    alg: str
    kid: str
    """Empty where it names no key."""
    typ: str
    """Empty where it names no kind."""


@lru_cache(maxsize=_REMEMBERED)
def parse_header(raw: bytes, form: HeaderForm) -> Header:
    """Parses a header; cached, because all tokens of a key begin with the same bytes.

    Raises TokenHeaderError for missing or other members, and MalformedError for anything but one strict JSON
    object.
    """
    members = parse_object(raw, limits=_LIMITS_PUBLISHED if form.published else _LIMITS)
    required = {"alg"}
    required |= set() if form.nameless else {"kid"}
    required |= set() if "" in form.or_typ else {"typ"}
    if strange := sorted(members.keys() - {"alg", "kid", "typ"} - form.passed_over):
        shown = escape_text(strange[0][:_SHOWN])
        raise TokenHeaderError(f"a header has no member `{shown}`", where=shown)  # 2
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if texts.keys() != members.keys() or required - texts.keys():
        raise TokenHeaderError(f"a header has the texts `{'`, `'.join(sorted(required))}`")  # 1
    if "" in form.or_typ and texts.get("typ") == "":
        raise TokenHeaderError("`typ` is left out, or says something", where="typ")  # 1
    names = NAMES if form.published else KID
    if "kid" in texts and names.fullmatch(texts["kid"]) is None:
        raise TokenHeaderError("`kid` is no word that names a key", where="kid")
    return Header(alg=texts["alg"], kid=texts.get("kid", ""), typ=texts.get("typ", ""))
