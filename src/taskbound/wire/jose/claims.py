"""Parses the claims of our tokens and of others' strictly, and the keys that issuers publish.

Of `claims`:
1. A kind declares its claims (for ours: `iss`, `sub`, `aud`, `iat`, `exp`, `jti`); all may have `nbf`.
2. Required claims are present; undeclared ones are refused unless the kind is open; claims of another kind
   alone always are.
3. A time is spelled as an integer: `1.0e9` is refused, though JSON has it equal one.
4. A token lives from `iat` to `exp`, at most as long as its kind may, with `nbf` before `exp`. Without `iat`
   it counts as issued that long before `exp`, so none is valid from farther off.
5. `iss` and `sub` are equal or different, as the kind says.
6. Claims to be written are compared as values: canonical bytes can only fail the reader's limits of size,
   count and depth, which are checked.
Of `foreign`:
1. Unknown members are ignored (`x5c`, `x5t`, `key_ops`): the numbers are the key. A private member refuses
   the whole set, because its issuer has published a private key.
2. A key for another purpose is skipped (RFC 7517 §5): another `use`, `key_ops` without `verify`, or a `kty`,
   `crv` or `alg` that signs nothing here. A broken signing key (a point off its curve, RSA below 2,048 bits)
   refuses the set.
3. A key with `alg` is for that. Without, the curve decides; an RSA key then counts once for each RSA
   algorithm, and the header selects (RFC 7518 §3.3, §3.5).
4. At most 64 keys with different `kid`. A key without `kid` is read only if it is the one signing key.
5. An empty set is valid and nothing verifies by it: so a trust domain withdraws its trust.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, escape_text, parse_object
from taskbound.core.action.parse import require_shape, require_size
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.wire.jose.errors import (
    JwkMembersError,
    JwkSetError,
    TokenClaimsError,
    TokenKindError,
    TokenLifetimeError,
)
from taskbound.wire.jose.key import FORMS, NAMES, Algorithm, read_numbers, require_public
from taskbound.wire.jose.kinds import ClaimForm, Issuing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.wire.jose.key import Jwk
    from taskbound.wire.jose.kinds import TokenKind


_TYPED: Final = frozenset({"iss", "sub", "aud", "iat", "exp", "jti", "nbf"})
_LONGEST: Final = 512
_LONGEST_URI: Final = 2_048
_MOST_TEXTS: Final = 64
_MOST_OBJECTS: Final = 16
_LAST: Final = 253_402_300_799  # the end of the year 9999
_MOST: Final = 2**31 - 1
_SHOWN: Final = 64
_WORKLOAD: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+", re.ASCII
)
_SPELLED: Final = re.compile(rb"[:,\[][ \t\r\n]*-?[0-9]+[.eE]")
"""What every number with a point or an exponent looks like; a text may too."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The typed claims of a token, not yet verified."""

    issuer: str
    """Empty where the kind has no `iss`, and the token none."""
    subject: str
    audience: str
    """Empty for a kind without an audience."""
    id: str
    """Empty where the kind needs none, and the token has none."""
    issued: Instant
    """Of a token that doesn't say: rule 4."""
    expires: Instant
    not_before: Instant
    """`iat` where the token doesn't say."""
    rest: Mapping[str, JsonValue]
    """All other claims, as they were read."""


class _Fraction(float):
    """A number spelled with a point or an exponent."""


def parse_claims(raw: bytes, *, kind: TokenKind) -> Claims:
    """Parses the claims of a payload.

    Raises TokenClaimsError (rules 1 to 3), TokenKindError (another kind's claim, or rule 5),
    TokenLifetimeError (rule 4), or MalformedError for anything but one strict JSON object.
    """
    found = parse_forms(
        raw,
        required=kind.needed,
        optional=kind.allowed,
        never=kind.never,
        limits=kind.limits,
        closed=not kind.open,
    )
    return _typed(found, kind)


def require_claims(claims: Mapping[str, JsonValue], raw: bytes, *, kind: TokenKind) -> None:
    """Raises as `parse_claims` would for the canonical bytes `raw`, without parsing them (rule 6)."""
    require_size(raw, limits=kind.limits)
    require_shape(raw, limits=kind.limits)
    _require_forms(
        claims,
        claims,
        required=kind.needed,
        optional=kind.allowed,
        never=kind.never,
        closed=not kind.open,
    )
    _require_issuing(claims, kind)
    _require_life(claims, kind)


def _typed(found: Mapping[str, JsonValue], kind: TokenKind) -> Claims:
    _require_issuing(found, kind)
    issued, not_before, expires = _require_life(found, kind)
    return Claims(
        issuer=_text(found.get("iss")),
        subject=_text(found["sub"]),
        audience=_text(found.get("aud")),
        id=_text(found.get("jti")),
        issued=issued,
        expires=expires,
        not_before=not_before,
        rest={name: value for name, value in found.items() if name not in _TYPED},
    )


def parse_forms(
    raw: bytes,
    *,
    required: Mapping[str, ClaimForm],
    optional: Mapping[str, ClaimForm],
    never: frozenset[str],
    limits: Limits,
    closed: bool,
) -> dict[str, JsonValue]:
    """Parses the claims of a payload, each in its form; raises as `parse_claims`, without lifetime."""
    found = parse_object(raw, limits=limits)
    # The strict reader was content; this one keeps spellings, and is asked where there may be one.
    spelled = json.loads(raw, parse_float=_Fraction) if _SPELLED.search(raw) else found
    _require_forms(found, spelled, required=required, optional=optional, never=never, closed=closed)
    return found


def _require_forms(
    found: Mapping[str, JsonValue],
    spelled: Mapping[str, JsonValue],
    *,
    required: Mapping[str, ClaimForm],
    optional: Mapping[str, ClaimForm],
    never: frozenset[str],
    closed: bool,
) -> None:
    for name in required:
        if name not in found:
            raise TokenClaimsError(f"the claim `{name}` is missing", where=name)  # 1, 2
    for name, value in found.items():
        form = required.get(name) or optional.get(name)
        if name in never:
            raise TokenKindError(f"the token has `{name}`, which only another kind has", where=name)  # 2
        if form is None and closed:
            shown = escape_text(name[:_SHOWN])
            raise TokenClaimsError(f"a token of this kind has no claim `{shown}`", where=shown)  # 2
        if form is not None and (not _FITS[form](value) or isinstance(spelled[name], _Fraction)):
            raise TokenClaimsError(f"the claim `{name}` is not {form.value}", where=name)  # 3


def _require_issuing(found: Mapping[str, JsonValue], kind: TokenKind) -> None:
    alone = _text(found.get("iss")) == _text(found["sub"])
    if (kind.issuing is Issuing.ITSELF and not alone) or (kind.issuing is Issuing.ANOTHER and alone):
        raise TokenKindError(f"a token of this kind is issued by {kind.issuing.value}", where="iss")  # 5


def _require_life(found: Mapping[str, JsonValue], kind: TokenKind) -> tuple[Instant, Instant, Instant]:
    """Returns when the token was issued, becomes valid, and expires."""
    expires = _instant(found["exp"])
    issued = _instant(found["iat"]) if "iat" in found else Instant(expires - kind.lifetime)
    not_before = _instant(found["nbf"]) if "nbf" in found else issued
    if not issued < expires or not not_before < expires:
        raise TokenLifetimeError("the token ends before it begins", where="exp")  # 4
    if expires - issued > kind.lifetime:
        most = kind.lifetime // seconds(1)
        raise TokenLifetimeError(f"a token of this kind lives at most {most} seconds", where="exp")  # 4
    return issued, not_before, expires


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST


def _is_name(value: JsonValue) -> bool:
    return _is_text(value) and not _text(value).lower().startswith("spiffe:")


def _is_uri(value: JsonValue) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_URI


def _is_spiffe(value: JsonValue) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_URI and _WORKLOAD.fullmatch(value) is not None


def _is_time(value: JsonValue) -> bool:
    return _whole(value) and 0 <= _number(value) <= _LAST


def _is_count(value: JsonValue) -> bool:
    return _whole(value) and 1 <= _number(value) <= _MOST


def _is_one(value: JsonValue) -> bool:
    return _is_text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _is_texts(value: JsonValue) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_TEXTS and all(_is_text(one) for one in value)


def _is_object(value: JsonValue) -> bool:
    return isinstance(value, dict)


def _is_objects(value: JsonValue) -> bool:
    few = isinstance(value, list) and 1 <= len(value) <= _MOST_OBJECTS
    return few and isinstance(value, list) and all(isinstance(one, dict) for one in value)


_FITS: Final[Mapping[ClaimForm, Callable[[JsonValue], bool]]] = {
    ClaimForm.TEXT: _is_text,
    ClaimForm.NAME: _is_name,
    ClaimForm.URI: _is_uri,
    ClaimForm.SPIFFE: _is_spiffe,
    ClaimForm.TIME: _is_time,
    ClaimForm.COUNT: _is_count,
    ClaimForm.ONE: _is_one,
    ClaimForm.TEXTS: _is_texts,
    ClaimForm.OBJECT: _is_object,
    ClaimForm.OBJECTS: _is_objects,
}
"""Whether a value has a form: one entry for each."""


def _whole(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0


def _text(value: JsonValue) -> str:
    one = value[0] if isinstance(value, list) else value
    return one if isinstance(one, str) else ""


def _instant(value: JsonValue) -> Instant:
    return Instant(seconds(_number(value)))


SIGNING: Final = frozenset({"", "sig"})
"""The `use` of the keys of an issuer's tokens; many say none."""
SPIFFE_JWT: Final = frozenset({"jwt-svid"})
"""The `use` of the keys of JWT-SVIDs in a trust domain's bundle; one that says none is for nothing."""

_LIMITS: Final = Limits(size=524_288, depth=6, parts=1_024)
_MOST_KEYS: Final = 64


def parse_foreign_jwks(raw: bytes, *, uses: frozenset[str] = SIGNING) -> tuple[Jwk, ...]:
    """Returns the keys of an issuer's document that verify its tokens, possibly none.

    Raises JwkSetError (rule 4), JwkPrivateError (rule 1), JwkMembersError or JwkPointError (rule 2), or
    MalformedError for anything but one strict JSON object.
    """
    members = parse_object(raw, limits=_LIMITS).get("keys")
    if not isinstance(members, list) or len(members) > _MOST_KEYS:
        raise JwkSetError(f"a set has `keys`, a list of at most {_MOST_KEYS}", where="keys")  # 4
    found: dict[str, tuple[Jwk, ...]] = {}
    for at, one in enumerate(members):
        if not isinstance(one, dict):
            raise JwkSetError("a key is an object", where=f"keys[{at}]")
        require_public(one)  # 1
        algorithms = _algorithms(one, uses)
        if not algorithms:
            continue  # 2
        kid = _kid(one)
        if kid in found:
            raise JwkSetError("two keys have the same `kid`", where=f"keys[{at}]")  # 4
        found[kid] = tuple(read_numbers(one, each, kid=kid) for each in algorithms)
    if "" in found and len(found) > 1:
        raise JwkSetError("a key has no `kid`, and is not the only one for signing", where="keys")  # 4
    return tuple(key for keys in found.values() for key in keys)


def _algorithms(members: Mapping[str, JsonValue], uses: frozenset[str]) -> tuple[Algorithm, ...]:
    """Returns the algorithms of a key (rules 2 and 3); none for another purpose."""
    operations = members.get("key_ops", ["verify"])
    use = members.get("use", "")
    if not isinstance(use, str) or use not in uses:
        return ()
    if not isinstance(operations, list) or "verify" not in operations:
        return ()
    kind = (members.get("kty"), members.get("crv", ""))
    fitting = tuple(one for one, form in FORMS.items() if (form.kty, form.crv) == kind)
    said = members.get("alg")
    return tuple(one for one in fitting if said is None or one.value == said)


def _kid(members: Mapping[str, JsonValue]) -> str:
    kid = members.get("kid", "")
    if not isinstance(kid, str) or (kid and NAMES.fullmatch(kid) is None):
        raise JwkMembersError("`kid` is 1 to 256 visible characters", where="kid")
    return kid
