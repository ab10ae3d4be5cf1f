"""A person's sign-in at an issuer: the pending request, its secret and the session.

The browser holds one secret; nonce and PKCE verifier (RFC 7636) derive from it and the state. Rows hold
digests only, so a reader of the rows cannot complete a sign-in.

1. A sign-in is pending for ten minutes and is consumed by the first request with its `state`, valid or not.
2. Another browser lacks the secret and cannot complete it (RFC 9700 §4.7).
3. The answer must come to the issuer's own callback address, with its `iss` where promised or present (RFC
   9207).
4. Requested freshness and strength are checked in the issuer's claims; a missing claim fails.
5. The number of pending sign-ins is limited in total and per address; at the latter limit the oldest one is
   dropped.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from hmac import compare_digest
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, hours, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


class NotSignedInError(DeniedError):
    """This browser has no current session."""

    code = "not-signed-in"
    remedy = "sign in at `/sign-in`"


class UnknownSignInError(DeniedError):
    """No pending sign-in matches: it was used, expired or never began here."""

    code = "unknown-sign-in"
    remedy = "begin again at `/sign-in`"


class ElsewhereError(DeniedError):
    """The sign-in was begun by another browser."""

    code = "sign-in-elsewhere"
    remedy = "begin again at `/sign-in`, and finish in the same browser"


class AnotherIssuerError(DeniedError):
    """The answer is from another issuer than the one asked."""

    code = "sign-in-another-issuer"
    remedy = "begin again at `/sign-in`; if that comes back, tell the administrator of the daemon"


class SignInDeniedError(DeniedError):
    """The issuer denied the sign-in."""

    code = "sign-in-denied"
    remedy = "begin again at `/sign-in`, or ask the administrator of the issuer"


class SignInTokenError(DeniedError):
    """The issuer's ID token is not for this sign-in."""

    code = "sign-in-token"
    remedy = "begin again at `/sign-in`; if that comes back, tell the administrator of the issuer"


class NotFreshError(DeniedError):
    """The issuer does not confirm a sufficiently recent authentication."""

    code = "sign-in-not-fresh"
    remedy = "sign in anew at the issuer; it has to support `max_age` and say `auth_time`"


class NotStrongError(DeniedError):
    """The issuer does not confirm a sufficiently strong authentication."""

    code = "sign-in-not-strong"
    remedy = "sign in at the issuer in the way that is wanted; it has to say so in `acr`"


class TooManySignInsError(UnavailableError):
    """The maximum number of sign-ins is pending."""

    code = "too-many-sign-ins"
    remedy = "try again in some minutes"


class BadReturnError(MalformedError):
    """The return page or a demand on the sign-in is not allowed."""

    code = "bad-sign-in"
    remedy = "leave `return`, `max_age` and `acr` out, or name a page of ours"


_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SPACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


def secret_digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def nonce_of(secret: str, state: str) -> str:
    """The nonce of a sign-in."""
    return _derived("nonce", secret, state)


def verifier_of(secret: str, state: str) -> str:
    """The PKCE verifier of a sign-in, 43 characters (RFC 7636 §4.1)."""
    return _derived("verifier", secret, state)


def challenge_of(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode("ascii")).digest())


def split_secret(text: str) -> tuple[str, str]:
    """Namespace and secret of a browser secret or `state`; empty texts if it is neither."""
    namespace, _, secret = text.partition(".")
    if _SPACE.fullmatch(namespace) is None or _SECRET.fullmatch(secret) is None:
        return "", ""
    return namespace, secret


def _derived(what: str, secret: str, state: str) -> str:
    return _base64(hashlib.sha256(f"taskbound {what} {secret} {state}".encode()).digest())


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


LASTS: Final = hours(8)
"""How long a session, and a membership by claim, lasts at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser session of a signed-in person."""

    namespace: str
    id: str
    secret: str
    """SHA-256 of what the browser holds."""
    person: str
    issuer: str
    subject: str
    authenticated: Instant
    acr: str
    began: Instant
    until: Instant


def require_rests(session: Session | None, now: Instant) -> Session:
    if session is None or now >= session.until:
        raise NotSignedInError("nobody is signed in with this browser")
    return session


WAITS: Final = minutes(10)
"""How long a sign-in waits for its issuer's answer (rule 1)."""
TOGETHER: Final = 1_024
OF_ONE: Final = 32
"""Sign-ins that wait in a namespace, and of one address (rule 5)."""
UNSAID: Final = Instant(0)
"""The authentication time if the issuer states none: too old for any demand."""
_SKEW: Final = seconds(30)
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~!$'()*,;:@/?&=+-]|%[0-9A-Fa-f]{2}){0,4096}", re.ASCII)
_CODE: Final = re.compile(r"[!-~]{1,2048}", re.ASCII)
_YEAR: Final = 31_536_000
_ACR: Final = re.compile(r"[!#-\[\]-~]{1,200}", re.ASCII)
_SHOWN: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)
_WITH_QUERY: Final = "/oauth/authorize"
_ASKED: Final = re.compile(rf"{_WITH_QUERY}/ask_[a-z0-9_]{{1,60}}", re.ASCII)
"""The page of a client's request that waits there."""
_APPROVAL: Final = re.compile(r"/approvals/apr_[a-z0-9_]{1,60}", re.ASCII)
"""The page of a question."""
_RETURNS: Final = frozenset({"/sign-in", _WITH_QUERY})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A pending sign-in."""

    namespace: str
    state: str
    """SHA-256 of its state."""
    browser: str
    """SHA-256 of the secret of the browser that began it."""
    issuer: str
    """The short name of the issuer that was asked."""
    begun: Instant
    address: str
    """Where the browser is; an IPv6 network is one."""
    back: str
    """Where the browser goes then: a path of ours."""
    promised: bool
    """Whether the issuer promises to say `iss` in its answers (rule 3)."""
    max_age: int = -1
    """Maximum age of the authentication in seconds; -1 without a demand (rule 4)."""
    acr: str = ""
    """The required strength; empty without a demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInReturn:
    """What a browser brings back from an issuer; its repr omits the code."""

    issuer: str
    """The issuer whose address it came to."""
    code: str = ""
    iss: str = ""
    error: str = ""

    def __repr__(self) -> str:
        return f"Brought({self.issuer!r}, error={self.error!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonClaims:
    """An issuer's verified claims about a person."""

    subject: str
    nonce: str
    authenticated: Instant
    """`auth_time`, or `UNSAID`."""
    acr: str
    claims: Mapping[str, JsonValue]


def place_of(address: str) -> str:
    """The address that pending sign-ins are counted by; for IPv6 its /64."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((int(found) >> 64 << 64, 64)))


def parse_return(text: str) -> str:
    path, mark, query = text.partition("?")
    if _ASKED.fullmatch(text) or _APPROVAL.fullmatch(text):
        return text
    if path not in _RETURNS or (mark and path != _WITH_QUERY) or _QUERY.fullmatch(query) is None:
        raise BadReturnError("a sign-in cannot return to that page", where="return")
    return text


def parse_demands(max_age: int, acr: str) -> None:
    """Raises BadReturnError unless the demands are possible."""
    if not -1 <= max_age <= _YEAR or (acr and _ACR.fullmatch(acr) is None):
        raise BadReturnError("`max_age` is seconds of at most a year, and `acr` one word", where="max_age")


def require_answer(waiting: SignIn, brought: SignInReturn, secret: str, own: str, now: Instant) -> None:
    """`secret` is the browser's, empty if it has none; `own` is the `iss` of the issuer that was asked."""
    if not compare_digest(secret_digest(secret), waiting.browser):
        raise ElsewhereError("the sign-in was begun by another browser, or was begun anew since")  # 2
    if now - waiting.begun >= WAITS:
        raise UnknownSignInError("the sign-in took too long")  # 1
    if brought.issuer != waiting.issuer or (brought.iss or own) != own:
        raise AnotherIssuerError("the answer is by another issuer than the one that was asked")  # 3
    if waiting.promised and not brought.iss:
        raise AnotherIssuerError("the answer does not say whose it is, which its issuer promises")  # 3
    if brought.error:
        word = brought.error if _SHOWN.fullmatch(brought.error) else "an error that has no plain name"
        raise SignInDeniedError(f"the issuer says `{word}`")
    if _CODE.fullmatch(brought.code) is None:
        raise SignInDeniedError("the issuer gave no code")


def require_demands(waiting: SignIn, said: PersonClaims, nonce: str, now: Instant) -> None:
    """Raises unless the issuer's claims are for this sign-in and meet its demands."""
    if not compare_digest(said.nonce.encode(), nonce.encode()):
        raise SignInTokenError("the ID token is for another sign-in", where="nonce")  # 2
    if said.authenticated - now > _SKEW:
        raise SignInTokenError("the ID token is of a time that has not come", where="auth_time")
    if waiting.max_age >= 0 and now - said.authenticated > seconds(waiting.max_age) + _SKEW:
        raise NotFreshError("the issuer does not say that this was a sign-in of now", where="auth_time")  # 4
    if waiting.acr and said.acr != waiting.acr:
        raise NotStrongError("the issuer does not say that it was done as was wanted", where="acr")  # 4
