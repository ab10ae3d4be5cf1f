"""Signs persons in at issuers (OpenID Connect Core, code flow with PKCE), with client secrets from files.

1. Metadata is cached for `FRESH` and requested at most once in `PAUSE`.
2. The browser goes to the issuer's own origin with only this sign-in's parameters. The token answer never
   passes through a browser.
3. The client authenticates by `client_secret_basic`, or `client_secret_post` if the issuer supports only
   that, or without secret by PKCE alone (RFC 9700 §2.1.1).
4. The ID token passes the strict verifier (`wire/jose`, ID_TOKEN), and its access token hash must match if
   present (§3.1.3.8).
5. Access and refresh tokens are not requested, stored or shown.

Secrets: 1. A file of the daemon's account, private, with one line of visible ASCII, read on each use. 2.
Errors never quote it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from base64 import b64encode, urlsafe_b64encode
from dataclasses import field
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, urlencode

from taskbound.adapters.identity.oidc.keys import find_metadata, place_in
from taskbound.core.action import Limits, parse_object
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError, UnavailableError
from taskbound.core.identity.sign_in import UNSAID, PersonClaims, SignInDeniedError, SignInTokenError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import BadMetadataError
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.wire.jose import ID_TOKEN, Algorithm, Trust, parse_jws, verify_jws

if TYPE_CHECKING:
    from taskbound.adapters.identity.oidc.keys import IssuerKeys, Said
    from taskbound.core.action import JsonValue
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.ports.identity import AuthorizationParameters, Documents, Forms
    from taskbound.wire.jose import SignatureCheck


FRESH: Final = minutes(10)
PAUSE: Final = seconds(10)
_MOST: Final = 256
"""Issuers whose words are kept; beyond that the first ones are forgotten."""
_LIMITS: Final = Limits(size=65_536, depth=8, parts=1_024)
_OK: Final = 200
_REFUSED: Final = range(400, 500)
_WORD: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)
_BASIC: Final = "client_secret_basic"
_POST: Final = "client_secret_post"
_HASHES: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    said: Said | None = None
    tried: Instant | None = None
    failure: TaskboundError | None = None


class OidcRelyingParty:
    """The relying party; safe from any thread, may block on an issuer."""

    def __init__(
        self, web: Documents, forms: Forms, keys: IssuerKeys, check: SignatureCheck, secrets: SecretFiles
    ) -> None:
        self._web = web
        self._forms = forms
        self._keys = keys
        self._check = check
        self._secrets = secrets
        self._kept: dict[IdentityIssuer, _Kept] = {}
        self._lock = threading.Lock()

    def address(
        self, issuer: IdentityIssuer, wanted: AuthorizationParameters, now: Instant
    ) -> tuple[str, bool]:
        """Returns the browser's URL, and whether the issuer promises `iss` in its redirect."""
        said = self._said(issuer, now)
        place, _ = self._places(said, issuer)
        asked = {
            "response_type": "code",
            "client_id": issuer.audience,
            "redirect_uri": wanted.redirect,
            "scope": "openid",
            "state": wanted.state,
            "nonce": wanted.nonce,
            "code_challenge": wanted.challenge,
            "code_challenge_method": "S256",
            **({"max_age": str(wanted.max_age)} if wanted.max_age >= 0 else {}),
            **({"acr_values": wanted.acr} if wanted.acr else {}),
        }
        promised = said.get("authorization_response_iss_parameter_supported") is True
        return f"{place}?{urlencode(asked)}", promised

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Returns why sign-in at this issuer would fail now, or ''."""
        try:
            self._places(self._said(issuer, now), issuer)
            if issuer.secret_file:
                self._secrets.read(issuer.secret_file)
        except TaskboundError as error:
            return error.message
        return ""

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> PersonClaims:
        found = self._token(issuer, code, verifier, redirect, now)
        text = found.get("id_token")
        if not isinstance(text, str):
            raise SignInTokenError("the issuer gave no ID token")
        unverified = parse_jws(text, kind=ID_TOKEN)
        keys = self._keys.keys(issuer, unverified.header.kid, now)
        trust = Trust(issuer=issuer.issuer, audience=issuer.audience, keys=keys)
        jws = verify_jws(unverified, trust=trust, check=self._check, now=now)  # 4
        said, claims = jws.claims, jws.claims.rest
        _require_hash(claims.get("at_hash"), found.get("access_token"), jws.key.algorithm)
        at, nonce, acr = claims.get("auth_time"), claims.get("nonce"), claims.get("acr")
        return PersonClaims(
            subject=said.subject,
            nonce=nonce if isinstance(nonce, str) else "",
            authenticated=Instant(seconds(at)) if isinstance(at, int) else UNSAID,
            acr=acr if isinstance(acr, str) else "",
            claims=claims,
        )

    def _token(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> dict[str, JsonValue]:
        said = self._said(issuer, now)
        _, place = self._places(said, issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        secret, authorization = self._secrets.read(issuer.secret_file) if issuer.secret_file else "", ""
        methods = said.get("token_endpoint_auth_methods_supported", [_BASIC])
        if not secret:
            form |= {"client_id": issuer.audience}
        elif isinstance(methods, list) and _BASIC not in methods and _POST in methods:
            form |= {"client_id": issuer.audience, "client_secret": secret}
        else:
            pair = f"{quote_plus(issuer.audience)}:{quote_plus(secret)}"
            authorization = f"Basic {b64encode(pair.encode()).decode()}"
        status, body = self._forms.post(place, form, authorization=authorization, private=issuer.private)
        try:
            found = parse_object(body, limits=_LIMITS) if body else {}
        except MalformedError as error:
            raise SignInTokenError("the issuer gives no answer to a code that can be read") from error
        if status in _REFUSED:
            word = found.get("error")
            plain = word if isinstance(word, str) and _WORD.fullmatch(word) else f"HTTP status {status}"
            raise SignInDeniedError(f"the issuer does not take its code back: `{plain}`")
        if status != _OK:
            raise IssuerUnreachableError(f"`{shown(issuer.issuer)}` gives no token: HTTP status {status}")
        return found

    def _places(self, said: Said, issuer: IdentityIssuer) -> tuple[str, str]:
        pages = place_in(
            said,
            "authorization_endpoint",
            issuer,
            other="",
            what="the pages",
            advice="name the issuer that people sign in at",
        )
        tokens = place_in(
            said,
            "token_endpoint",
            issuer,
            other=issuer.token_at,
            what="the tokens",
            advice="name that origin for this issuer (`--token-at`) if it is known to be the issuer's",
        )
        return pages, tokens

    def _said(self, issuer: IdentityIssuer, now: Instant) -> Said:
        kept = self._of(issuer)
        with kept.lock:
            waits = FRESH if kept.failure is None else PAUSE
            if kept.tried is None or now - kept.tried >= waits:
                kept.tried, kept.said, kept.failure = now, None, None
                try:
                    kept.said = find_metadata(issuer, self._web)
                except TaskboundError as error:
                    kept.failure = error
            if kept.said is None:
                raise kept.failure or BadMetadataError(f"`{shown(issuer.issuer)}` says nothing of itself")
            return kept.said

    def _of(self, issuer: IdentityIssuer) -> _Kept:
        with self._lock:
            found = self._kept.get(issuer)
            if found is None:
                while len(self._kept) >= _MOST:
                    del self._kept[next(iter(self._kept))]
                found = self._kept[issuer] = _Kept()
            return found


def _require_hash(said: JsonValue, token: JsonValue, algorithm: Algorithm) -> None:
    if said is None:
        return
    hashed = _HASHES.get(algorithm.value[-3:], hashlib.sha512)  # EdDSA: of Ed25519, which hashes so itself
    digest = hashed(token.encode()).digest() if isinstance(token, str) else b""
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(said, str) or not digest or not compare_digest(said.encode(), half):
        raise SignInTokenError("the ID token is of another access token", where="at_hash")


_LINE: Final = re.compile(rb"([!-~]{1,1024})\r?\n?")
_SECRET_MOST: Final = 2_048


class ClientSecretError(UnavailableError):
    """The client secret's file is unusable."""

    code = "client-secret-file"
    remedy = "have the daemon's account own it, with mode 0600, and one line in it"


class SecretFiles:
    """Reads client secrets."""

    def read(self, path: str) -> str:
        """Returns the secret; raises ClientSecretError if the file is missing, exposed or malformed."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ClientSecretError(f"`{path}` can't be read: {error.strerror}") from error
        try:
            held = os.fstat(handle)
            if not stat.S_ISREG(held.st_mode) or held.st_uid != os.geteuid() or held.st_mode & 0o077:
                raise ClientSecretError(f"`{path}` is no plain file of the daemon's account alone")
            found = _LINE.fullmatch(os.read(handle, _SECRET_MOST))
        finally:
            os.close(handle)
        if found is None:
            raise ClientSecretError(f"`{path}` does not hold one line of visible ASCII")
        return found[1].decode("ascii")
