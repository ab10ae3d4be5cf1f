"""A request for an authorization code, as a browser brings it (RFC 6749 §4.1.1, OAuth 2.1, MCP).

1. No parameter stands twice (RFC 6749 §3.1); one that isn't known is not looked at; an empty one is none.
2. Client and redirect URI first: what is wrong before those two are known is shown to the person, and sent
   nowhere.
3. `response_type` is `code`. PKCE always, and only `S256` (RFC 7636): there is no downgrade to `plain`, or to
   none.
4. `resource` names exactly one place that we serve, letter by letter (RFC 8707; MCP demands it). What is
   named is what the token is for.
5. `state` goes back as it came, and is shown nowhere. Every answer has `iss`, a refusal too (RFC 9207).
6. Scopes are those of the resource; what isn't one refuses. `dpop_jkt` binds the code to a key (RFC 9449
   §10). Request objects are not taken.
7. What a client is that a document describes is not asked of anybody before all else of its request is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.token.authorization.errors import (
    BadClientRequestError,
    BadRedirectError,
    RedirectedError,
    RepeatedParameterError,
)
from taskbound.core.token.authorization.redirect import answer_at, parse_redirect, require_redirect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.token.authorization.client import Client, ClientId
    from taskbound.core.token.authorization.redirect import Redirect


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
    """A request that may be answered."""

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
        """The address at which the client gets its code (rule 5)."""
        return answer_at(self.redirect, [("code", code), *_state(self.state), ("iss", issuer)])

    def refusal(self, error: str, message: str) -> RedirectedError:
        """A refusal of this request, for the client."""
        return RedirectedError(error, message, redirect=self.redirect, state=self.state)


def refused_at(error: RedirectedError, *, issuer: str) -> str:
    """The address at which a client hears why not (rule 5)."""
    told = [("error", error.error), ("error_description", error.message)]
    return answer_at(error.redirect, [*told, *_state(error.state), ("iss", issuer)])


def parse_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name (rule 1).

    Raises:
        RepeatedParameterError: One stands twice, or there are too many.
    """
    if len(pairs) > _MOST or len({name for name, _ in pairs}) != len(pairs):
        raise RepeatedParameterError(f"a parameter stands twice, or there are more than {_MOST}")
    return {name: value for name, value in pairs if value}


def parse_request(
    told: Mapping[str, str], client: Client, *, resources: Collection[str], scopes: Collection[str]
) -> AuthorizationRequest:
    """The request of a client that is known.

    Args:
        told: Its parameters, by name.
        client: Whom `client_id` names.
        resources: The places that we serve.
        scopes: What may be asked for there.

    Raises:
        BadRedirectError: The answer would go somewhere else than to the client (rule 2).
        RedirectedError: It can't be answered, and the client may be told so.
    """
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
    """Go on only with a request that may be answered once its client is known (rule 7).

    Raises:
        BadRedirectError: The answer would go where no document's client is sent one.
        BadClientRequestError: It can't be answered.
    """
    redirect = parse_redirect(told.get("redirect_uri", ""), registered=False)
    if redirect.text.startswith("https://") and redirect.host != client.host:
        raise BadRedirectError("the answer would go to a host that is not the client's")
    wrong = _why_not(told) or _wrong_target(told, resources) or _wrong_scope(told.get("scope", ""), scopes)
    if wrong is not None:
        raise BadClientRequestError(wrong[1])


def _why_not(told: Mapping[str, str]) -> tuple[str, str] | None:
    """What of its form is wrong: an error of the standards, and words."""
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
