"""What a kind of token is made of, as data: its header, its claims, who issues it, and how long it may live.

1. Of two kinds no token is both (RFC 8725bis §3.11). Most differ in `typ`; issuers outside write `JWT` or
   nothing, and those kinds are told apart by who issues them and by a claim that the one must have and the
   other can't.
2. Our own kinds have one header and one spelling of a signature. A kind that others sign takes what their
   libraries write, which may have two spellings: for such a kind, nothing is ever remembered by the token's
   text (`gate`).
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits
from taskbound.core.clock import Duration, seconds
from taskbound.core.dataclass import dataclass
from taskbound.wire.jose.algorithm import OURS, Algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping


SKEW: Final = seconds(30)
"""How far an issuer's clock may be ahead of ours."""


class ClaimForm(Enum):
    """What a claim is; an integer is never a boolean, a fraction, or a text of digits."""

    TEXT = "a text of 1 to 512 characters"
    NAME = "a text of 1 to 512 characters that is no SPIFFE ID"
    SPIFFE = "the SPIFFE ID of a workload, with a path"
    URI = "a text of 1 to 2,048 characters"
    TIME = "whole seconds since 1970, spelled as an integer"
    COUNT = "a whole number from 1 to 2,147,483,647"
    ONE = "one text, alone or the only one of a list"
    TEXTS = "a list of at most 64 texts"
    OBJECT = "an object"
    OBJECTS = "a list of 1 to 16 objects"

    __hash__ = object.__hash__  # each is itself alone, and `Enum` would ask for its name


EVERY: Final[Mapping[str, ClaimForm]] = {
    "iss": ClaimForm.TEXT,
    "sub": ClaimForm.TEXT,
    "aud": ClaimForm.ONE,
    "iat": ClaimForm.TIME,
    "exp": ClaimForm.TIME,
    "jti": ClaimForm.TEXT,
}
"""What every token of ours has."""


class Issuing(Enum):
    """Who a token says that issued it."""

    NAMED = "`iss`, whoever `sub` is"
    ITSELF = "`iss`, which is `sub`"
    ANOTHER = "`iss`, which is not `sub`"
    DOMAIN = "the trust domain of `sub`"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderForm:
    """What a header may say."""

    algorithms: frozenset[Algorithm] = OURS
    """What a token of this kind may be signed with; the key says with which."""
    or_typ: frozenset[str] = frozenset()
    """What `typ` may be beside the kind's own; the empty text is a header without one."""
    nameless: bool = False
    """Whether `kid` may be left out, where the issuer has one key and no more."""
    published: bool = False
    """Whether the keys, and their names, are as the issuer publishes them (`foreign`)."""
    passed_over: frozenset[str] = frozenset()
    """Texts that may stand there, and mean nothing here."""
    lower_s: bool = True
    """Whether a signature of ECDSA must be the one of the two with the lower `s` (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKind:
    """One kind of token."""

    typ: str
    """What the header's `typ` must be, character by character."""
    lifetime: Duration
    """How long at most from `iat` to `exp`."""
    header: HeaderForm = field(default_factory=HeaderForm)
    issuing: Issuing = Issuing.NAMED
    every: Mapping[str, ClaimForm] = field(default_factory=lambda: EVERY)
    """Claims that this kind and those like it have."""
    required: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it must have beside those."""
    optional: Mapping[str, ClaimForm] = field(default_factory=dict)
    """Claims that it may have; `nbf` always is one."""
    never: frozenset[str] = frozenset()
    """Claims that make it a token of another kind, also when it is open (rule 1)."""
    audience_again: str = ""
    """A claim that names the audience once more where it stands (`azp`)."""
    open: bool = False
    """Whether it may have claims that nobody declared; they are kept, and mean nothing here."""
    skew: Duration = SKEW
    """How far `iat` and `nbf` may lie ahead of now. It lengthens no token: `exp` is exact."""
    size: int = 16_384
    """Characters of the whole token."""
    limits: Limits = field(default_factory=lambda: Limits(size=12_288, depth=8, parts=256))
    """How much the payload may hold."""
    needed: Mapping[str, ClaimForm] = field(init=False)
    """All that it must have."""
    allowed: Mapping[str, ClaimForm] = field(init=False)
    """All that it may have beside."""

    def __post_init__(self) -> None:
        """Put together what each token is compared with."""
        object.__setattr__(self, "needed", {**self.every, **self.required})
        object.__setattr__(self, "allowed", {"nbf": ClaimForm.TIME, **self.optional})
