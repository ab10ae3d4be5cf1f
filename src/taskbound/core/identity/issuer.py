"""Whose signed word counts as evidence: an issuer outside, its keys, and for whom it must have signed.

1. An issuer has a short name of ours, which policies and texts use, and the name that it writes as `iss`. No
   two issuers of a namespace share either, so that a token is believed by one issuer's keys or by none.
2. The keys are kept as the document that they were read from says them, in canonical form, and by their
   thumbprints (RFC 7638). Core compares those and computes nothing.
"""

from __future__ import annotations

from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError

_LONGEST: Final = 255


class BadIssuerError(MalformedError):
    """An issuer was written down with something that can't be."""

    code = "bad-issuer"
    remedy = "give the issuer's own name as its tokens write it, such as https://example.com/tickets"


class UnknownIssuerError(DeniedError):
    """No issuer of evidence is known by this name."""

    code = "unknown-issuer"
    remedy = "list them with `taskbound task issuer list`, or have this one added"


class IssuerExistsError(DeniedError):
    """Another issuer has this name, or writes itself like this one."""

    code = "issuer-exists"
    remedy = "remove the other one first: two issuers of one name could speak for each other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of evidence."""

    namespace: str
    name: str
    issuer: str
    """What its tokens say as `iss`."""
    audience: str
    """What its tokens must say as `aud`."""
    keys: bytes
    """Its public keys, a JSON Web Key Set in canonical form (rule 2)."""
    thumbprints: tuple[str, ...]
    """The names that the keys themselves have, in the set's order."""
    version: int = 1


def parse_issuer_text(text: str, *, where: str) -> str:
    """A name as tokens write it: printable ASCII without spaces.

    Raises:
        BadIssuerError: It is empty, too long, or has other characters.
    """
    if not 0 < len(text) <= _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise BadIssuerError(f"`{where}` has 1 to {_LONGEST} printable characters of ASCII", where=where)
    return text
