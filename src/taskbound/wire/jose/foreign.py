"""Keys that an issuer outside publishes, as it writes them (RFC 7517 §5, SPIFFE bundles §4).

1. Members that nobody here knows are passed over (`x5c`, `x5t`, `key_ops`): the numbers are the key. A
   private one refuses the whole set: whoever published it has told its key to everybody.
2. A key that is for something else is passed over (RFC 7517 §5): another `use` than is looked for, `key_ops`
   without `verify`, a `kty`, `crv` or `alg` that signs nothing here. One that is for signing and no good (a
   point off its curve, RSA below 2,048 bits) refuses the set: it is broken, or somebody made it so.
3. A key that says its `alg` is for that one. One that doesn't is for what its curve says; one of RSA is as
   many keys as there are algorithms of RSA, and the header says which of them (RFC 7518 §3.3, §3.5).
4. At most 64 keys, whose `kid` differ. One without a `kid` is read only where no other key is for signing.
5. A set without a key is one, and nothing is believed by it: that is how a trust domain says that it trusts
   nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, parse_object
from taskbound.wire.jose.algorithm import FORMS, Algorithm
from taskbound.wire.jose.errors import JwkMembersError, JwkSetError
from taskbound.wire.jose.key import NAMES, read_numbers, require_public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.wire.jose.key import Jwk


SIGNING: Final = frozenset({"", "sig"})
"""The `use` of the keys of an issuer's tokens; many say none."""
SPIFFE_JWT: Final = frozenset({"jwt-svid"})
"""The `use` of the keys of JWT-SVIDs in a trust domain's bundle; one that says none is for nothing."""

_LIMITS: Final = Limits(size=524_288, depth=6, parts=1_024)
_MOST_KEYS: Final = 64


def parse_foreign_jwks(raw: bytes, *, uses: frozenset[str] = SIGNING) -> tuple[Jwk, ...]:
    """The keys of an issuer's document that its tokens are checked with; none, where it has none for that.

    Raises:
        JwkSetError: It is no set, too large, or its keys can't be told apart (rule 4).
        JwkPrivateError: It has something private (rule 1).
        JwkMembersError: A key for signing is not written as one (rule 2).
        JwkPointError: A key for signing is no good (rule 2).
        MalformedError: It is no JSON object (`core.action`).
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
    """What a key is for (rules 2 and 3); nothing, where it is for something else."""
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
