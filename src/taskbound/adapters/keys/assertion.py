"""Signed client assertions (RFC 7523 §2.2), by `joserfc`.

1. The key is a private JWK on one line: P-256 (`ES256`), or RSA of at least 2048 bits (`PS256`, or `RS256` if
   its `alg` says so).
2. An assertion has `iss`, `sub` (the client itself), one `aud`, a unique `jti` and a lifetime of a minute.
3. Errors never quote the key.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from taskbound.core.action.parse import parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.tool import BadSecretError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


_LIFE: Final = 60
_DIGITS: Final = 342
"""Of Base64, for 2048 bits."""
_Key = ECKey | RSAKey


def assertion(key: str, *, client: str, audience: str) -> str:
    """Returns a new client assertion; raises BadSecretError for an unusable key (rule 1)."""
    return statement(key, issuer=client, subject=client, audience=audience)


def statement(
    key: str, *, issuer: str, subject: str, audience: str, more: Mapping[str, JsonValue] | None = None
) -> str:
    """Returns a signed statement with `more` claims; raises BadSecretError for an unusable key (rule 1)."""
    algorithm, found, name = _read(key)
    now = int(time.time())
    claims = {
        **(more or {}),
        "aud": audience,
        "exp": now + _LIFE,
        "iat": now,
        "iss": issuer,
        "jti": secrets.token_urlsafe(24),
        "sub": subject,
    }
    header = {"alg": algorithm, "typ": "JWT", **({"kid": name} if name else {})}
    try:
        return jwt.encode(header, claims, found, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        raise BadSecretError("the client's key can't sign", remedy=_REMEDY) from None  # 3


_REMEDY: Final = "set a private JWK on one line: P-256, or RSA with 2048 bits"


def _read(text: str) -> tuple[str, _Key, str]:
    try:
        members = parse_object(text.encode())
    except (MalformedError, UnicodeEncodeError):
        raise BadSecretError("the client's key is no JWK", remedy=_REMEDY) from None
    kind, curve, said, name, modulus = (members.get(one) for one in ("kty", "crv", "alg", "kid", "n"))
    small = kind == "RSA" and (not isinstance(modulus, str) or len(modulus) < _DIGITS)
    if small or not isinstance(name, str | None):
        raise BadSecretError("the client's key is too small, or its name is no text", remedy=_REMEDY)
    try:
        if (kind, curve) == ("EC", "P-256"):
            return "ES256", ECKey.import_key(json.loads(text)), name or ""
        if kind == "RSA":
            algorithm = "RS256" if said == "RS256" else "PS256"
            return algorithm, RSAKey.import_key(json.loads(text)), name or ""
    except (JoseError, ValueError, TypeError, KeyError):
        raise BadSecretError("the client's key can't be read", remedy=_REMEDY) from None
    raise BadSecretError("the client's key is of a kind that is not signed with", remedy=_REMEDY)
