"""A client, its authorization request (RFC 6749 section 4.1.1, OAuth 2.1), and its admission.

Of `redirect`:

1. Allowed are `https`, `http` at a loopback address or `localhost`, and a private-use scheme for clients
   registered by a person (RFC 8252 §7.1). Refused are fragments, users, dot segments, ambiguous escapes, and
   schemes that run or read something.
2. Comparison is exact (RFC 9700 §4.1.3), except for the port of a loopback *address* (RFC 8252 §7.3).
   `localhost` is a name that may resolve elsewhere, so its port must match.
3. Answer parameters follow the URI's own, which must not collide with them.

Of `request`:

1. No parameter is repeated (RFC 6749 §3.1); unknown ones are ignored, empty ones count as absent.
2. Client and redirect URI are checked first; until then errors are shown to the person and sent nowhere.
3. `response_type` is `code`; PKCE with `S256` is required (RFC 7636).
4. `resource` names exactly one served resource, compared exactly (RFC 8707); it is the token's audience.
5. `state` is returned unchanged and never shown. Each answer and refusal has `iss` (RFC 9207).
6. A scope that the resource lacks is refused. `dpop_jkt` binds the code (RFC 9449 §10). Request objects are
   refused.
7. A client document is fetched only if the rest of the request is valid.

Of `client`:

1. A client is registered by a person, or its id is an `https` URL of a client document
   (draft-ietf-oauth-client-id-metadata-document) with a path and a host name, without user, query, fragment
   or dot segments.
2. The document is strict JSON, at most 5,120 bytes, with its URL as `client_id`. It must hold no secret and
   not claim secret-based authentication, because it is public.
3. A self-given name is shown beside the host as the client's claim; hidden characters refuse it.
4. A document's redirect URIs are https at its own host, or loopback.

Of `admission`:

1. An admission is for one client, task, resource and optional key, and ends at the task's original deadline
   at the latest.
2. A refresh token is 256 random bits, stored as SHA-256, used once and replaced.
3. Reuse, another client or another key means a leak and ends the admission (RFC 9700 §4.14.2).
4. A renewal never exceeds the original resource and scope.
5. An admission without agent and task acts as the person, with one key and one token, no refresh token, and
   ends with the token or the sign-in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.action.text import kinds_in
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.url import read_url
from taskbound.core.scope.values import Mismatch
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    BadClientDocumentError,
    BadClientIdError,
    BadClientRequestError,
    BadRedirectError,
    BadRefreshError,
    RedirectedError,
    RepeatedParameterError,
    WiderRefreshError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue


_LONGEST: Final = 2048
_OWN_SCHEME: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,62}):(?P<rest>/{0,2}[A-Za-z0-9._~/-]+)", re.ASCII
)
_RUN = "about blob chrome data file filesystem intent jar javascript ms-msdt search-ms vbscript view-source"
_ASK = "content ftp ftps gopher http https ldap mailto sftp smb ssh tel telnet ws wss"
_NEVER: Final = frozenset(_RUN.split(" ") + _ASK.split(" "))
"""Schemes that run or read something, or prompt the user (rule 1)."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_NAME: Final = "localhost"
_OURS: Final = frozenset({"code", "error", "error_description", "iss", "state"})
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """One redirect URI."""

    text: str
    """As it was written; what is compared, and what is answered at."""
    host: str
    """What a person is shown: the host, or the scheme of a program's own."""
    port_free: bool = False
    """Whether the port is the program's to choose (rule 2)."""
    beside: str = ""
    """All of it but the port, where the port is free."""


def parse_redirect(text: str, *, registered: bool) -> Redirect:
    """Parses a redirect URI; only a `registered` client may have a private-use scheme."""
    if not text or len(text) > _LONGEST or "#" in text:
        raise BadRedirectError("a redirect URI has no fragment, and at most 2048 characters")
    own = _OWN_SCHEME.fullmatch(text)
    if own is not None and own["scheme"] not in _NEVER:
        if not registered:
            raise BadRedirectError("a scheme of its own has only a client that a person registered here")
        if any(part in {".", ".."} for part in own["rest"].split("/")):
            raise BadRedirectError("a redirect URI has no dot segments")
        return Redirect(text=text, host=f"{own['scheme']}:")
    found = read_url(text)
    if isinstance(found, Mismatch) or found.scheme not in {"http", "https"}:
        raise BadRedirectError("a redirect URI is https, or http at this machine, in its plain form")
    if not text.startswith(f"{found.scheme}://"):
        raise BadRedirectError("the scheme of a redirect URI is written in small letters")
    if _names(text) & _OURS:
        raise BadRedirectError("a redirect URI has none of the answer's own parameters")  # 3
    if found.scheme == "http" and found.host not in _LOOPBACK and found.host != _NAME:
        raise BadRedirectError("a redirect URI that is not of this machine is https")
    free = found.scheme == "http" and found.host in _LOOPBACK
    return Redirect(text=text, host=found.host, port_free=free, beside=_without_port(text) if free else "")


def require_redirect(asked: str, known: Sequence[Redirect]) -> Redirect:
    for one in known:
        if one.text == asked:
            return one
    for one in known:
        if one.port_free:
            wanted = parse_redirect(asked, registered=False)
            if wanted.port_free and wanted.beside == one.beside:
                return wanted
    raise BadRedirectError("the answer would go to an address that is not the client's")


def answer_at(redirect: Redirect, members: Sequence[tuple[str, str]]) -> str:
    query = "&".join(f"{name}={_quoted(value)}" for name, value in members)
    return f"{redirect.text}{'&' if '?' in redirect.text else '?'}{query}"


def _without_port(text: str) -> str:
    scheme, _, rest = text.partition("://")
    at = min((rest.find(one) for one in "/?" if one in rest), default=len(rest))
    host = re.sub(r":[0-9]+\Z", "", rest[:at])
    return f"{scheme}://{host}{rest[at:]}"


def _names(text: str) -> set[str]:
    _, _, query = text.partition("?")
    return {one.partition("=")[0] for one in query.split("&")} if query else set()


def _quoted(value: str) -> str:
    return "".join(
        one if one in _PLAIN else "".join(f"%{byte:02X}" for byte in one.encode("utf-8", "surrogatepass"))
        for one in value
    )


_THUMB: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_STATE: Final = re.compile(r"[ -~]{1,1024}", re.ASCII)
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,64}(?: [!#-\[\]-~]{1,64}){0,15}", re.ASCII)
_MOST: Final = 32
_FORMS: Final = {
    "dpop_jkt": (_THUMB, "dpop_jkt is the thumbprint of a key"),
    "max_age": (re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII), "max_age is a number of seconds"),
    "acr_values": (_SCOPE, "acr_values are words, with one space between two"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A valid request that may be answered."""

    client: str
    redirect: Redirect
    challenge: str
    """SHA-256 of the verifier, base64url (RFC 7636 §4.2)."""
    resource: str
    scope: tuple[str, ...]
    state: str = ""
    """Empty where the client sent none."""
    jkt: str = ""
    """Thumbprint of the DPoP key that the code is for; empty where the client did not say."""
    acr: tuple[str, ...] = ()
    """How well the person has to have signed in, one of these (RFC 9470); empty where it does not matter."""
    max_age: int | None = None
    """Seconds since the person signed in, at most."""

    def answered(self, code: str, *, issuer: str) -> str:
        return answer_at(self.redirect, [("code", code), *_state(self.state), ("iss", issuer)])

    def refusal(self, error: str, message: str) -> RedirectedError:
        return RedirectedError(error, message, redirect=self.redirect, state=self.state)


def refused_at(error: RedirectedError, *, issuer: str) -> str:
    told = [("error", error.error), ("error_description", error.message)]
    return answer_at(error.redirect, [*told, *_state(error.state), ("iss", issuer)])


def parse_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name; raises RepeatedParameterError also if there are too many."""
    if len(pairs) > _MOST or len({name for name, _ in pairs}) != len(pairs):
        raise RepeatedParameterError(f"a parameter stands twice, or there are more than {_MOST}")
    return {name: value for name, value in pairs if value}


def parse_request(
    told: Mapping[str, str], client: Client, *, resources: Collection[str], scopes: Collection[str]
) -> AuthorizationRequest:
    redirect = require_redirect(told.get("redirect_uri", ""), client.redirects)  # 2
    state = told.get("state", "")
    if state and _STATE.fullmatch(state) is None:
        words = "state is 1 to 1024 printable characters of ASCII"
        raise RedirectedError("invalid_request", words, redirect=redirect)
    scope = told.get("scope", "")
    wrong = _why_not(told) or _wrong_target(told, resources) or _wrong_scope(scope, scopes)
    if wrong is not None:
        error, words = wrong
        raise RedirectedError(error, words, redirect=redirect, state=state)
    return AuthorizationRequest(
        client=client.id,
        redirect=redirect,
        challenge=told["code_challenge"],
        resource=told["resource"],
        scope=tuple(dict.fromkeys(scope.split(" "))) if scope else (),
        state=state,
        jkt=told.get("dpop_jkt", ""),
        acr=tuple(told["acr_values"].split(" ")) if "acr_values" in told else (),
        max_age=int(told["max_age"]) if "max_age" in told else None,
    )


def require_worth_describing(
    told: Mapping[str, str], client: ClientId, *, resources: Collection[str], scopes: Collection[str]
) -> None:
    """Raises BadRedirectError or BadClientRequestError before a document is fetched."""
    redirect = parse_redirect(told.get("redirect_uri", ""), registered=False)
    if redirect.text.startswith("https://") and redirect.host != client.host:
        raise BadRedirectError("the answer would go to a host that is not the client's")
    wrong = _why_not(told) or _wrong_target(told, resources) or _wrong_scope(told.get("scope", ""), scopes)
    if wrong is not None:
        raise BadClientRequestError(wrong[1])


def _why_not(told: Mapping[str, str]) -> tuple[str, str] | None:
    if told.get("response_type") != "code":
        return "unsupported_response_type", "the response type is code"
    if told.get("code_challenge_method") != "S256" or not _THUMB.fullmatch(told.get("code_challenge", "")):
        return "invalid_request", "PKCE with S256 is required"  # 3
    if "request" in told or "request_uri" in told:
        return "invalid_request", "request objects are not taken"  # 6
    for name, (form, words) in _FORMS.items():
        if name in told and form.fullmatch(told[name]) is None:
            return "invalid_request", words
    return None


def _wrong_target(told: Mapping[str, str], resources: Collection[str]) -> tuple[str, str] | None:
    if told.get("resource") in resources:
        return None
    return "invalid_target", "resource names no place that is served here"  # 4


def _wrong_scope(scope: str, scopes: Collection[str]) -> tuple[str, str] | None:
    if not scope or set(scope.split(" ")) <= set(scopes):
        return None
    return "invalid_scope", "there is no such scope here"  # 6


def _state(state: str) -> list[tuple[str, str]]:
    return [("state", state)] if state else []


DOCUMENT_BYTES: Final = 5_120
"""How long a client's document may be (the draft's §6.6 names 5 kilobytes)."""
_REQUEST_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*", re.ASCII)
_REQUEST_LONGEST: Final = 512
_SHOWN: Final = 80
_CLIENT_MOST: Final = 16
_SECRETS: Final = ("client_secret", "client_secret_expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientId:
    """A client's id."""

    text: str
    host: str
    """The host whose document says what it is; empty of a client that is registered here."""

    @property
    def has_document(self) -> bool:
        return bool(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that may receive codes."""

    id: str
    host: str
    """Who answers for it: the host of its document; empty where a person registered it here."""
    name: str
    """What it calls itself; its own word (rule 3)."""
    redirects: tuple[Redirect, ...]


def parse_client_id(text: str) -> ClientId:
    if _REQUEST_NAME.fullmatch(text):
        return ClientId(text=text, host="")
    found = read_url(text) if len(text) <= _REQUEST_LONGEST else None
    if (
        found is None
        or isinstance(found, Mismatch)
        or found.scheme != "https"
        or not text.startswith("https://")
    ):
        raise BadClientIdError("a client's id is a registered name, or an https URL in its plain form")
    if "?" in text or "#" in text:
        raise BadClientIdError("a client's URL has no query and no fragment")
    if found.path == "/":
        raise BadClientIdError("a client's URL has a path")
    if _ADDRESS.fullmatch(found.host) or "." not in found.host:
        raise BadClientIdError("a client's URL has the name of a host, and no address")
    return ClientId(text=text, host=found.host)


def registered_client(name: str, shown: str, redirects: tuple[str, ...]) -> Client:
    if _REQUEST_NAME.fullmatch(name) is None:
        raise BadClientIdError("a client's name has small letters, digits, and `._-`: at most 63")
    return Client(
        id=name, host="", name=_shown(shown), redirects=_redirects(list(redirects), registered=True)
    )


def parse_client_document(raw: bytes, client: ClientId) -> Client:
    try:
        document = parse_object(raw, limits=Limits(size=DOCUMENT_BYTES, depth=8, parts=256))
    except MalformedError as error:
        raise BadClientDocumentError("the client's document is no strict JSON of at most 5 KiB") from error
    if document.get("client_id") != client.text:
        raise BadClientDocumentError("the client's document is about another client")
    if any(one in document for one in _SECRETS):
        raise BadClientDocumentError("the client's document holds a secret, which everybody can read")
    _require_member(document, "token_endpoint_auth_method", "none")
    _require_listed(document, "grant_types", "authorization_code")
    _require_listed(document, "response_types", "code")
    listed = document.get("redirect_uris")
    if not isinstance(listed, list):
        raise BadClientDocumentError("the client's document has no `redirect_uris`")
    try:
        redirects = _redirects(listed, registered=False)
    except BadRedirectError as error:
        raise BadClientDocumentError(error.message) from error
    if any(one.text.startswith("https://") and one.host != client.host for one in redirects):
        raise BadClientDocumentError(
            "the client's document sends codes to a host that it does not answer for"
        )
    name = document.get("client_name", client.host)
    return Client(id=client.text, host=client.host, name=_shown(name), redirects=redirects)


def _redirects(listed: list[JsonValue] | list[str], *, registered: bool) -> tuple[Redirect, ...]:
    if not 0 < len(listed) <= _CLIENT_MOST:
        raise BadClientDocumentError(f"a client has 1 to {_CLIENT_MOST} redirect URIs")
    texts = [one for one in listed if isinstance(one, str)]
    if len(texts) != len(listed) or len(set(texts)) != len(texts):
        raise BadClientDocumentError("redirect URIs are texts that differ")
    return tuple(parse_redirect(one, registered=registered) for one in texts)


def _shown(name: JsonValue) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _SHOWN or name != name.strip():
        raise BadClientDocumentError(f"what a client calls itself has 1 to {_SHOWN} characters")
    if kinds_in(name):
        raise BadClientDocumentError("what a client calls itself holds characters that a reader may not see")
    return name


def _require_member(document: dict[str, JsonValue], member: str, value: str) -> None:
    if document.get(member, value) != value:
        raise BadClientDocumentError(f"the client's document has `{member}` that is not `{value}`")


def _require_listed(document: dict[str, JsonValue], member: str, value: str) -> None:
    listed = document.get(member, [value])
    if not isinstance(listed, list) or value not in listed:
        raise BadClientDocumentError(f"the client's document has `{member}` without `{value}`")


NEVER: Final = Instant(0)
PREFIX: Final = "adm"
"""What the names of admissions begin with."""
_REFRESH: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """An admitted client."""

    namespace: str
    id: str
    client: str
    agent: str
    """Empty where the client acts as the person (rule 5), as `task`."""
    task: str
    person: str
    """Who consented."""
    resource: str
    scope: tuple[str, ...]
    jkt: str
    """Thumbprint of its DPoP key; empty of a client that proved none: its tokens are bearer tokens."""
    begun: Instant
    until: Instant
    turn: int = 1
    """Which refresh token is the one that counts."""
    ended: Instant = NEVER
    why: str = ""
    version: int = 1
    session: str = ""
    """The sign-in that it rests on; empty for none (rule 5)."""

    @property
    def is_persons(self) -> bool:
        return not self.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The stored facts about a refresh token."""

    namespace: str
    digest: str
    admission: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What a client presents beside its refresh token."""

    client: str
    resource: str = ""
    """Empty where it does not say."""
    scope: tuple[str, ...] = ()
    """None for all that it had."""
    jkt: str = ""
    """Thumbprint of the DPoP key that was proven."""


class Leak(Enum):
    """Evidence that a refresh token leaked; the values are those of records."""

    AGAIN = "a refresh token came twice"
    CLIENT = "another client brought its refresh token"
    KEY = "its refresh token came without its key"


def refresh_digest(token: str) -> str:
    if _REFRESH.fullmatch(token) is None:
        raise BadRefreshError("the refresh token is malformed")
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def is_admission(name: str) -> bool:
    """True if the name is an admission's, not that of a token it was exchanged from."""
    return name.startswith(f"{PREFIX}_")


def require_standing_admission(admission: Admission | None, now: Instant) -> None:
    """Raises AdmissionEndedError unless the admission is current."""
    if admission is None:
        raise AdmissionEndedError("the client was never let in")
    if admission.ended != NEVER:
        raise AdmissionEndedError(f"the client's admission was ended: {admission.why}")
    if now >= admission.until:
        raise AdmissionEndedError("the client was let in until then, and no longer")


def require_renewable(admission: Admission, brought: Renewal, now: Instant) -> None:
    require_standing_admission(admission, now)
    if brought.resource and brought.resource != admission.resource:
        raise WiderRefreshError("the refresh token is for another resource")
    if not set(brought.scope) <= set(admission.scope):
        raise WiderRefreshError("the refresh token has fewer scopes")


def leak_of(admission: Admission, refresh: Refresh, brought: Renewal) -> Leak | None:
    if brought.client != admission.client:
        return Leak.CLIENT
    if brought.jkt != admission.jkt:
        return Leak.KEY
    return Leak.AGAIN if refresh.turn != admission.turn else None


def admission_renewed(admission: Admission) -> Admission:
    return replace(admission, turn=admission.turn + 1, version=admission.version + 1)


def admission_ended(admission: Admission, now: Instant, why: str) -> Admission:
    """The ended admission; an ended one is unchanged."""
    if admission.ended != NEVER:
        return admission
    return replace(admission, ended=now, why=why, version=admission.version + 1)
