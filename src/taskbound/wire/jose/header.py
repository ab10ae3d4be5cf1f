"""What a token's header says: an algorithm, the name of a key, a kind; nothing that chooses or fetches.

1. It has `alg`, `kid` and `typ`, each a text. A kind may do without `typ` or `kid`, and may pass over
   other names (`kind.HeaderForm`): those are texts, and nothing here looks at them.
2. Every other member refuses, by name: `jwk`, `jku`, `x5u` and `x5c` would choose the key, `crit`, `b64` and
   `zip` what is signed (RFC 7515 §4.1, RFC 7797, RFC 8725bis §3).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, escape_text, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.errors import TokenHeaderError
from taskbound.wire.jose.key import KID, NAMES

if TYPE_CHECKING:
    from taskbound.wire.jose.kind import HeaderForm


_LIMITS: Final = Limits(size=512, depth=1, parts=1)
_LIMITS_PUBLISHED: Final = Limits(size=768, depth=1, parts=1)
"""Where names are longer (`key.NAMES`), and two thumbprints may stand beside them."""
_SHOWN: Final = 64
_REMEMBERED: Final = 256
"""Headers, of 768 bytes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a header says."""

    alg: str
    kid: str
    """Empty where it names no key."""
    typ: str
    """Empty where it names no kind."""


@lru_cache(maxsize=_REMEMBERED)
def parse_header(raw: bytes, form: HeaderForm) -> Header:
    """The members of a header; the same bytes are read once, since all tokens of a key begin with them.

    Raises:
        TokenHeaderError: There are others, or one is missing or no text.
        MalformedError: It is no JSON object, or says a member twice (`core.action`).
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
