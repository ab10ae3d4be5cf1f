"""OAuth's endpoints: forms go to the daemon as they were read, and its refusals get OAuth's names.

1. The process proves no client: form, `DPoP` header and certificate go on whole.
2. A refusal is JSON with `error` (RFC 6749 §5.2). Who is not proven gets 401 and a challenge, and isn't told
   what was wrong; what can't be done now is 503; all else is 400 with words. What a code or a refresh token
   is refused for is `invalid_grant`, unless it has another name.
3. Words have no character that a quoted string would end or escape with (§5.2).
4. The metadata says what this server does and nothing more (RFC 8414 §2): its issuer is the origin, letter
   by letter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.token.exchange import GRANT, OAUTH_ERRORS
from taskbound.surfaces.http.errors import TooManyRequestsError
from taskbound.surfaces.network.form import read_form
from taskbound.wire.connection import Done, Fault
from taskbound.wire.jose.kinds import CLIENT_ASSERTION, JWT_SVID
from taskbound.wire.oauth import (
    CODE,
    CREDENTIALS,
    REFRESH,
    AskToken,
    GiveBackToken,
    Introspected,
    IntrospectToken,
    TokenGiven,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError
    from taskbound.wire.envelope import Answer
    from taskbound.wire.oauth import ClientForm


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
class Told:
    """One answer of an endpoint."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def read_ask(path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> ClientForm:
    """What a form asks of the daemon; raises as `read_form`."""
    form = read_form(headers, query, body)
    return ENDPOINTS[path](form=tuple(form.items()))


def told(answer: Answer, asked: ClientForm) -> Told:
    """How the daemon's answer to a form is told."""
    match answer:
        case TokenGiven():
            return Told(status=200, body=msgspec.json.encode(_plain(answer)))
        case Introspected():
            return Told(status=200, body=answer.claims.encode())
        case Done():
            return Told(status=200, body=b"")
        case Fault():
            return refused(answer, granting=("grant_type", CODE) in asked.form or _REFRESHES in asked.form)
        case _:
            return Told(status=500, body=msgspec.json.encode({"error": "server_error"}))


def refused(error: TaskboundError | Fault, *, granting: bool = False) -> Told:
    """How a refusal is told (rules 2 and 3); `granting` where a code or a refresh token was brought."""
    name = _name(error, granting=granting)
    if name == "invalid_client":
        challenge = ("WWW-Authenticate", 'DPoP algs="ES256", error="invalid_client"')
        return Told(status=401, body=msgspec.json.encode({"error": name}), headers=(challenge,))
    if name == "temporarily_unavailable":
        status = _TOO_MANY if error.code == TooManyRequestsError.code else 503
        return Told(status=status, body=msgspec.json.encode({"error": name}), headers=(("Retry-After", "1"),))
    words = _UNSAID.sub("'", error.message)[:_LONGEST]
    return Told(status=400, body=msgspec.json.encode({"error": name, "error_description": words}))


def metadata(origin: str) -> bytes:
    """What a client has to know of this server (rule 4)."""
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
    """What OAuth calls it (rule 2)."""
    if error.family in {"unavailable", ""}:
        return "temporarily_unavailable"
    if error.family == "unproven":
        return "invalid_client"
    if error.where == "DPoP":
        return "invalid_dpop_proof"  # RFC 9449 §5
    return OAUTH_ERRORS.get(
        error.code, "invalid_grant" if granting and error.family == "denied" else "invalid_request"
    )
