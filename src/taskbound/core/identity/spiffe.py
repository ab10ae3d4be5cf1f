"""What a SPIFFE ID is, and why a document that is to prove one proves nothing.

1. `spiffe://DOMAIN/PATH`, at most 2048 bytes, read in one way only (SPIFFE-ID §2): lower case where case
   means nothing, no port, user, query, fragment or percent sign, no empty segment, none of dots, no slash
   at the end.
2. IDs and domains are compared whole. There is no prefix and no pattern in SPIFFE.
3. A workload's ID has a path; without one it is the domain's own, with which nobody acts.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.action import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError

_LONGEST: Final = 2_048
_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)", re.ASCII)
_SHOWN: Final = 80


class BadTrustDomainError(MalformedError):
    """A name that no trust domain can have."""

    code = "bad-trust-domain"
    remedy = "write its name alone and in lower case, such as corp.example"


class BadSpiffeIdError(MalformedError):
    """A text that is no SPIFFE ID."""

    code = "bad-spiffe-id"
    remedy = "write it as in spiffe://corp.example/agents/planner"


class SvidSizeError(MalformedError):
    """An SVID has more bytes or certificates than are read."""

    code = "svid-size"
    remedy = "send the certificate of the workload, and those between it and its authority, and no more"


class BadSvidError(MalformedError):
    """The bytes are no SVID: cut off, or no certificates in DER."""

    code = "bad-svid"
    remedy = "send the chain as the Workload API gives it: whole certificates, the workload's first"


class SvidFormError(DeniedError):
    """A certificate that is no X.509-SVID of a workload (X509-SVID §2 to §4)."""

    code = "svid-form"
    remedy = "have the workload's own certificate issued as an X.509-SVID: one URI, digitalSignature, no CA"


class SvidExpiredError(DeniedError):
    """Its time is over."""

    code = "svid-expired"
    remedy = "fetch a new one from the Workload API"


class SvidNotYetError(DeniedError):
    """Its time has not come."""

    code = "svid-not-yet"
    remedy = "compare the clocks of the issuer and of this machine"


class SvidUnprovenError(DeniedError):
    """No authority of its trust domain stands behind it."""

    code = "svid-unproven"
    remedy = "look with `taskbound agent trust show` whose word counts in its domain, and who issued it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiffeId:
    """A SPIFFE ID, taken apart."""

    domain: str
    path: str
    """With its first slash; empty for the domain itself."""

    @property
    def text(self) -> str:
        """The ID as it is written."""
        return f"spiffe://{self.domain}{self.path}"


def parse_trust_domain(text: str) -> str:
    """The name of a trust domain (rule 1).

    Raises:
        BadTrustDomainError: It is none.
    """
    if _DOMAIN.fullmatch(text) is None:
        shown = escape_text(text[:_SHOWN])
        raise BadTrustDomainError(f"`{shown}` is no trust domain: 1 to 255 of a-z, 0-9, `.`, `-` and `_`")
    return text


def parse_spiffe_id(text: str) -> SpiffeId:
    """The SPIFFE ID that this text is (rule 1).

    Raises:
        BadSpiffeIdError: It is none.
    """
    found = _ID.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or {".", ".."} & set(found[2].split("/")):
        raise BadSpiffeIdError(f"`{escape_text(text[:_SHOWN])}` is no SPIFFE ID", where="sub")
    return SpiffeId(domain=found[1], path=found[2])


def require_workload(spiffe: SpiffeId) -> SpiffeId:
    """Go on only with an ID of a workload (rule 3).

    Raises:
        SvidFormError: It is the domain's own.
    """
    if not spiffe.path:
        raise SvidFormError(f"`{spiffe.text}` names a trust domain and no workload", where="sub")
    return spiffe
