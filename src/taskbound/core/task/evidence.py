"""Evidence for a task: a ticket, the digest of the request's words, or an issuer's signed token.

Each piece has one text form: `ticket:SYSTEM:ID`, `words:sha256:HEX`,
`jws:ISSUER:TOKEN:CLAIMS:KEY:EXPIRES:SUBJECT`. The last holds digests only and is created from verified
tokens only. Tickets and words are *stated*, unverified. A token is *proven* until it expires, while its
issuer is known and has the signing key. Evidence is checked at each use against the current issuers (law
7). `@hold("evidence:NAME")` refers to `ticket`, `ticket.SYSTEM`, `words`, `jws` or `jws.ISSUER`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity.issuer import Issuer


_SYSTEM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_TICKET: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SECONDS: Final = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)
_SUBJECT: Final = 512
_PARTS: Final = 7


class BadEvidenceError(MalformedError):
    """The evidence is malformed."""

    code = "bad-evidence"
    remedy = "write ticket:SYSTEM:ID or words:sha256:HEX, or give a signed token with `--evidence-jws FILE`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A reference into a ticket system."""

    system: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The SHA-256 of the words of the original request."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The content of a verified token of a known issuer."""

    issuer: str
    """The short name of ours, not what the token writes."""
    subject: str
    token: str
    """The SHA-256 of the token's one text."""
    claims: str
    """The SHA-256 of its payload's bytes."""
    key: str
    """The thumbprint of the key that signed it."""
    expires: Instant


Evidence: TypeAlias = Ticket | Words | Signed
"""One piece of what a task rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated(NoTruth):
    """A person stated it; it is unverified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven(NoTruth):
    """A known issuer confirms it, until the given instant."""

    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed(NoTruth):
    """It expired at the given instant."""

    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned(NoTruth):
    """No current issuer confirms it."""

    reason: str


Verdict: TypeAlias = Stated | Proven | Lapsed | Disowned
"""Whether a piece stands; matched on, never a condition."""


def parse_evidence(text: str) -> Ticket | Words:
    found = _parse(text)
    match found:
        case Ticket() | Words():
            return found
        case Signed():
            raise BadEvidenceError("a signed word is given as its token, not as what became of it")
        case None:
            raise BadEvidenceError("a piece of evidence is a ticket or the digest of words")


def read_evidence(text: str) -> Evidence:
    found = _parse(text)
    if found is None:
        raise BadEvidenceError("the stored evidence is malformed")
    return found


def evidence_text(evidence: Evidence) -> str:
    match evidence:
        case Ticket(system=system, id=number):
            return f"ticket:{system}:{number}"
        case Words(digest=digest):
            return f"words:sha256:{digest}"
        case Signed():
            one = evidence
            until = one.expires // seconds(1)
            return f"jws:{one.issuer}:{one.token}:{one.claims}:{one.key}:{until}:{one.subject}"


def evidence_names(evidence: Evidence) -> tuple[str, ...]:
    match evidence:
        case Ticket(system=system):
            return ("ticket", f"ticket.{system}")
        case Words():
            return ("words",)
        case Signed(issuer=issuer):
            return ("jws", f"jws.{issuer}")


def evidence_stands(evidence: Evidence, issuers: Mapping[str, Issuer], now: Instant) -> Verdict:
    """Judges the evidence now, against the current issuers by name."""
    match evidence:
        case Ticket() | Words():
            return Stated()
        case Signed():
            issuer = issuers.get(evidence.issuer)
            if issuer is None:
                return Disowned(reason="its issuer is not known here any more")
            if evidence.key not in issuer.thumbprints:
                return Disowned(reason="its issuer has not the key any more that signed it")
            if now >= evidence.expires:
                return Lapsed(since=evidence.expires)
            return Proven(until=evidence.expires)


def _parse(text: str) -> Ticket | Words | Signed | None:
    match text.split(":", 2):
        case ["ticket", system, number] if _SYSTEM.fullmatch(system) and _TICKET.fullmatch(number):
            return Ticket(system=system, id=number)
        case ["words", "sha256", digest] if _DIGEST.fullmatch(digest):
            return Words(digest=digest)
        case ["jws", *_]:
            return _parse_signed(text.split(":", _PARTS - 1))
        case _:
            return None


def _parse_signed(parts: list[str]) -> Signed | None:
    if len(parts) != _PARTS:
        return None
    _, issuer, token, claims, key, expires, subject = parts
    if not (_SYSTEM.fullmatch(issuer) and _DIGEST.fullmatch(token) and _DIGEST.fullmatch(claims)):
        return None
    if not (_THUMBPRINT.fullmatch(key) and _SECONDS.fullmatch(expires) and 0 < len(subject) <= _SUBJECT):
        return None
    return Signed(
        issuer=issuer,
        subject=subject,
        token=token,
        claims=claims,
        key=key,
        expires=Instant(seconds(int(expires))),
    )
