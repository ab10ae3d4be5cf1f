"""The claims of a token: each with its type, and none that nobody declared.

1. Every token has `iss`, `sub`, `aud` (exactly one), `iat`, `exp` and `jti`, and may have `nbf`.
2. What a kind requires is there, and what it doesn't declare isn't, unless the kind is open.
3. A time is an integer in its spelling too: `1.0e9` is none, though JSON has it equal one.
4. A token lives from `iat` to `exp`, at most as long as its kind may, and `nbf` lies before `exp`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.action import escape_text, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.wire.jose.errors import TokenClaimsError, TokenLifetimeError
from taskbound.wire.jose.kind import ClaimForm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.wire.jose.kind import TokenKind

__all__ = ["Claims", "parse_claims"]

_EVERY: Final[Mapping[str, ClaimForm]] = {
    "iss": ClaimForm.TEXT,
    "sub": ClaimForm.TEXT,
    "aud": ClaimForm.ONE,
    "iat": ClaimForm.TIME,
    "exp": ClaimForm.TIME,
    "jti": ClaimForm.TEXT,
}
_MAY: Final[Mapping[str, ClaimForm]] = {"nbf": ClaimForm.TIME}
_LONGEST: Final = 512
_MOST_TEXTS: Final = 64
_LAST: Final = 253_402_300_799  # the end of the year 9999
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says, typed; whether it is so is another matter."""

    issuer: str
    subject: str
    audience: str
    id: str
    issued: Instant
    expires: Instant
    not_before: Instant
    """`iat` where the token doesn't say."""
    rest: Mapping[str, JsonValue]
    """All other claims, as they were read."""


class _Fraction(float):
    """A number that was spelled with a point or an exponent."""


def parse_claims(raw: bytes, *, kind: TokenKind) -> Claims:
    """The claims of a payload.

    Raises:
        TokenClaimsError: Rules 1 to 3.
        TokenLifetimeError: Rule 4.
        MalformedError: It is no JSON object, or one that two readers read differently (`core.action`).
    """
    found = parse_object(raw, limits=kind.limits)
    spelled = json.loads(
        raw, parse_float=_Fraction
    )  # the strict reader was content; this one keeps spellings
    required = {**_EVERY, **kind.required}
    optional = {**_MAY, **kind.optional}
    for name in required:
        if name not in found:
            raise TokenClaimsError(f"the claim `{name}` is missing", where=name)  # 1, 2
    forms = {**required, **optional}
    for name, value in found.items():
        form = forms.get(name)
        shown = escape_text(name[:_SHOWN])
        if form is None and not kind.open:
            raise TokenClaimsError(f"a token of this kind has no claim `{shown}`", where=shown)  # 2
        if form is not None and (not _fits(value, form) or isinstance(spelled[name], _Fraction)):
            raise TokenClaimsError(f"the claim `{shown}` is not {form.value}", where=shown)  # 3
    return _lived(
        Claims(
            issuer=_text(found["iss"]),
            subject=_text(found["sub"]),
            audience=_text(found["aud"]),
            id=_text(found["jti"]),
            issued=_instant(found["iat"]),
            expires=_instant(found["exp"]),
            not_before=_instant(found.get("nbf", found["iat"])),
            rest={name: value for name, value in found.items() if name not in {**_EVERY, **_MAY}},
        ),
        kind,
    )


def _lived(claims: Claims, kind: TokenKind) -> Claims:
    if not claims.issued < claims.expires or not claims.not_before < claims.expires:
        raise TokenLifetimeError("the token ends before it begins", where="exp")  # 4
    if claims.expires - claims.issued > kind.lifetime:
        most = kind.lifetime // seconds(1)
        raise TokenLifetimeError(f"a token of this kind lives at most {most} seconds", where="exp")  # 4
    return claims


def _fits(value: JsonValue, form: ClaimForm) -> bool:
    match form:
        case ClaimForm.TEXT:
            return isinstance(value, str) and 0 < len(value) <= _LONGEST
        case ClaimForm.TIME:
            return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST
        case ClaimForm.ONE:
            one = value[0] if isinstance(value, list) and len(value) == 1 else value
            return _fits(one, ClaimForm.TEXT)
        case ClaimForm.TEXTS:
            texts = value if isinstance(value, list) and len(value) <= _MOST_TEXTS else [None]
            return all(_fits(one, ClaimForm.TEXT) for one in texts)
        case ClaimForm.OBJECT:
            return isinstance(value, dict)


def _text(value: JsonValue) -> str:
    one = value[0] if isinstance(value, list) else value
    return one if isinstance(one, str) else ""


def _instant(value: JsonValue) -> Instant:
    return Instant(seconds(value)) if isinstance(value, int) else Instant(0)
