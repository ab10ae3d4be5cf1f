"""X.509-SVIDs: whether a chain proves a workload, by the authorities of its trust domain.

Source: X509-SVID §2 to §5; RFC 5280 §6. `cryptography` builds the path; what it has no words for is looked
at here.

1. Bounds come first: bytes, certificates, and how deep a path may go. A certificate stands once in a chain.
2. The workload's certificate has exactly one URI, a SPIFFE ID with a path; it is no authority, may sign
   (`digitalSignature`, in a critical extension), and not certificates or lists. Where purposes are named,
   they are server and client both. With an empty subject the names are critical.
3. It says the trust domain, and the domain says the authorities: no other is tried, and no certificate of
   the chain is believed for standing in it. An authority in between that has a SPIFFE ID has one of this
   domain.
4. A path is one by signature, time and RFC 5280: authorities say that they are, may sign certificates, and
   are as deep as they allow. Names of hosts are never compared.
5. Time has no skew: an SVID that ended a moment ago has ended, and so has one whose authority has.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from taskbound.core.clock import Instant, render_instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.proof import BindingKind, WorkloadKind, parse_binding
from taskbound.core.identity.selector import (
    BadSvidError,
    Shown,
    SpiffeId,
    SvidExpiredError,
    SvidFormError,
    SvidNotYetError,
    SvidSizeError,
    SvidUnprovenError,
    parse_spiffe_id,
    require_workload,
)
from taskbound.core.identity.trust import (
    MOST_AUTHORITIES,
    BadBundleError,
    Bundle,
    BundleSizeError,
    ForeignAuthorityError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


_MOST: Final = 6
"""Certificates of a chain: the workload's and five between it and its authority."""
_MOST_BYTES: Final = 32_768
_DEEPEST: Final = 5
_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})
_MICROSECOND: Final = 1_000_000
_UNREAD: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,  # where warnings are errors; elsewhere the number is looked at below
)
"""All that the library raises of bytes that it can't read."""
_T = TypeVar("_T", bound=x509.ExtensionType)

_ANY: Final = Criticality.AGNOSTIC
_CA: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, None)
    .require_present(x509.KeyUsage, _ANY, None)
)
"""What the library requires of authorities; critical extensions that it doesn't know it refuses by itself."""
_LEAF: Final = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, _ANY, None)
"""Of the workload's own certificate the rest is rule 2, which it has no words for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that can be read, by nobody knows whom."""

    leaf: x509.Certificate
    between: tuple[x509.Certificate, ...]
    spiffe: SpiffeId
    """What the workload's certificate says it is; its domain says whose authorities count."""


def read_chain(chain: Sequence[bytes]) -> Chain:
    """The chain that these certificates are, the workload's first, each in DER (rules 1 and 2).

    Raises:
        SvidSizeError: It is longer than is read.
        BadSvidError: One is no certificate, or stands twice.
        SvidFormError: The first is no X.509-SVID of a workload.
    """
    if not 1 <= len(chain) <= _MOST or sum(map(len, chain)) > _MOST_BYTES:
        raise SvidSizeError(f"a chain has 1 to {_MOST} certificates in at most {_MOST_BYTES} bytes")  # 1
    if len(set(chain)) != len(chain):
        raise BadSvidError("a certificate stands twice in the chain")  # 1
    leaf, *between = map(_certificate, chain)
    return Chain(leaf=leaf, between=tuple(between), spiffe=_require_leaf(leaf))


def prove_chain(chain: Chain, authorities: Sequence[bytes], *, now: Instant) -> Shown:
    """What this chain says, which is by these authorities, which are those of its own domain (rules 3 to 5).

    Args:
        chain: As it was read.
        authorities: Certificates in DER, of the bundle of the chain's trust domain.
        now: Compared with each certificate of the path.

    Raises:
        SvidExpiredError: The workload's certificate has ended.
        SvidNotYetError: It has not begun.
        SvidUnprovenError: There is no path from it to one of them.
    """
    leaf = chain.leaf
    _require_within(*_span(leaf), now)
    for one in chain.between:
        _require_between(one, chain.spiffe)  # 3
    verifier = (
        PolicyBuilder()
        .store(Store([_certificate(one) for one in authorities]))
        .time(datetime.fromtimestamp(now // _MICROSECOND, UTC))
        .max_chain_depth(_DEEPEST)
        .extension_policies(ca_policy=_CA, ee_policy=_LEAF)
        .build_client_verifier()
    )
    try:
        path = verifier.verify(leaf, list(chain.between)).chain
    except VerificationError as error:
        raise SvidUnprovenError(
            f"no authority of `{chain.spiffe.domain}` stands behind the SVID"
        ) from error  # 4
    until = min(_instant(one.not_valid_after_utc) for one in path)
    if now >= until:
        raise SvidUnprovenError(f"an authority of `{chain.spiffe.domain}` in the path has ended")  # 5
    digest = hashlib.sha256(leaf.public_bytes(Encoding.DER)).digest()
    return Shown(
        kind=WorkloadKind.X509_SVID,
        issuer=chain.spiffe.domain,
        subject=chain.spiffe.text,
        until=until,
        binding=parse_binding(BindingKind.MTLS.value, urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")),
    )


def require_current(certificate: bytes, *, now: Instant) -> None:
    """Go on only with a certificate (DER) that has begun and has not ended (rule 5), whoever issued it.

    Raises:
        BadSvidError: It can't be read.
        SvidExpiredError: It has ended.
        SvidNotYetError: It has not begun.
    """
    _require_within(*_span_of(certificate), now)


def require_authority_certificates(domain: str, bundle: Bundle) -> None:
    """Go on only with a bundle whose certificates are authorities, and of this domain if they say of which.

    Raises:
        BadBundleError: One is no certificate, or none of an authority.
        ForeignAuthorityError: One has the SPIFFE ID of another domain.
    """
    for at, raw in enumerate(bundle.x509):
        where = f"x509-svid[{at}]"
        try:
            one = _certificate(raw)
            _require_authority(one)
            names = _uris(one)
        except (BadSvidError, SvidFormError) as error:
            raise BadBundleError(f"an authority is none: {error.message}", where=where) from error
        spiffe = [name for name in names if name.lower().startswith("spiffe:")]
        if any(name != f"spiffe://{domain}" for name in spiffe):
            raise ForeignAuthorityError(f"an authority says it is not of `{domain}`", where=where)


def _certificate(raw: bytes) -> x509.Certificate:
    """One certificate, and nothing behind it.

    Raises:
        BadSvidError: It is none, or one with an extension twice.
    """
    try:
        found = x509.load_der_x509_certificate(raw)
        _ = (
            found.extensions,
            found.subject,
            found.issuer,
            found.public_key(),
        )  # each is read when it is asked for
        if found.serial_number <= 0 or found.not_valid_after_utc <= found.not_valid_before_utc:
            raise BadSvidError("the certificate's number or times are none")
        if found.public_bytes(Encoding.DER) != raw or not raw.endswith(b"\x00" + found.signature):
            raise BadSvidError("the bytes are not the one way to write one certificate")
    except _UNREAD as error:
        raise BadSvidError("the bytes are no certificate in DER") from error
    return found


def _span(one: x509.Certificate) -> tuple[Instant, Instant]:
    """When it begins, and when it has ended."""
    return _instant(one.not_valid_before_utc), _instant(one.not_valid_after_utc)


@lru_cache(maxsize=256)
def _span_of(certificate: bytes) -> tuple[Instant, Instant]:
    """The same of one that comes with each request of its connection: the same bytes are read once."""
    return _span(_certificate(certificate))


def _require_within(begins: Instant, ends: Instant, now: Instant) -> None:
    if now < begins:
        raise SvidNotYetError(f"the certificate counts from {render_instant(begins)}")  # 5
    if now >= ends:
        raise SvidExpiredError(f"the certificate ended at {render_instant(ends)}")  # 5


def _require_leaf(leaf: x509.Certificate) -> SpiffeId:
    """What the workload's certificate says it is (rule 2)."""
    uris = _uris(leaf)
    if len(uris) != 1:
        raise SvidFormError(f"an X.509-SVID has one URI, and this certificate has {len(uris)}", where="san")
    try:
        spiffe = require_workload(parse_spiffe_id(uris[0]))
    except MalformedError as error:
        raise SvidFormError(
            f"the certificate's URI is not a workload's: {error.message}", where="san"
        ) from error
    names = _extension(leaf, x509.SubjectAlternativeName)
    if not leaf.subject.rdns and names is not None and not names.critical:
        raise SvidFormError("a certificate without a subject has critical names", where="san")
    limits = _extension(leaf, x509.BasicConstraints)
    if limits is not None and limits.value.ca:
        raise SvidFormError("an authority's certificate proves no workload", where="basicConstraints")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.digital_signature:
        raise SvidFormError("`digitalSignature` stands in a critical key usage", where="keyUsage")
    if usage.value.key_cert_sign or usage.value.crl_sign:
        raise SvidFormError("a workload's key signs neither certificates nor lists", where="keyUsage")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not set(purposes.value) >= _PURPOSES:
        raise SvidFormError("purposes that are named are server and client both", where="extKeyUsage")
    return spiffe


def _require_between(one: x509.Certificate, spiffe: SpiffeId) -> None:
    """Go on only with an authority, and one of this domain where it says of which (rule 3)."""
    _require_authority(one)
    for name in _uris(one):
        if name.lower().startswith("spiffe:") and name != f"spiffe://{spiffe.domain}":
            raise SvidFormError("an authority in between says it is of another domain", where="san")


def _require_authority(one: x509.Certificate) -> None:
    limits, usage = _extension(one, x509.BasicConstraints), _extension(one, x509.KeyUsage)
    if limits is None or not limits.value.ca:
        raise SvidFormError("an authority's certificate says that it is one", where="basicConstraints")
    if usage is None or not usage.value.key_cert_sign:
        raise SvidFormError("an authority's key may sign certificates", where="keyUsage")


def _uris(one: x509.Certificate) -> list[str]:
    names = _extension(one, x509.SubjectAlternativeName)
    return [] if names is None else names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _extension(one: x509.Certificate, kind: type[_T]) -> x509.Extension[_T] | None:
    try:
        return one.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise BadSvidError("an extension of the certificate can't be read") from error


def _instant(moment: datetime) -> Instant:
    """Whole microseconds: a certificate has whole seconds."""
    return Instant(int(moment.timestamp()) * _MICROSECOND)


_SEQUENCE: Final = 0x30
_LONG: Final = 0x80
_MOST_LENGTH: Final = 3


def split_certificates(raw: bytes) -> tuple[bytes, ...]:
    """Each certificate, in order and once.

    Raises:
        BadBundleError: Something else stands there, or it ends too early.
        BundleSizeError: There are more than are read.
    """
    found: dict[bytes, None] = {}
    at = 0
    while at < len(raw):
        end = _end(raw, at)
        found[raw[at:end]] = None
        at = end
        if len(found) > MOST_AUTHORITIES:
            raise BundleSizeError(f"the bundle has more than {MOST_AUTHORITIES} certificates")
    return tuple(found)


def _end(raw: bytes, at: int) -> int:
    head = raw[at : at + 2]
    if len(head) < 2 or head[0] != _SEQUENCE:  # noqa: PLR2004 -- a tag and a length
        raise BadBundleError("the bundle holds something that is no certificate")
    size, start = head[1], at + 2
    if size & _LONG:
        count = size & ~_LONG
        start += count
        if not 1 <= count <= _MOST_LENGTH:
            raise BadBundleError("the bundle holds something that is no certificate")
        size = int.from_bytes(raw[at + 2 : start])
    if start + size > len(raw):
        raise BadBundleError("the bundle ends within a certificate")
    return start + size


class SpiffeSvids:
    """The `Svids` of our servers."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """The trust domain that a chain says it is of.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
        """
        return read_chain(chain).spiffe.domain

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """What a chain says that is by these authorities of its own trust domain.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
            SvidUnprovenError: None of them stands behind it.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        return prove_chain(read_chain(chain), authorities, now=now)

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Return only when a certificate has begun and has not ended.

        Raises:
            BadSvidError: It can't be read.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        require_current(certificate, now=now)

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Return only when a bundle's certificates are authorities, and of this domain.

        Raises:
            BadBundleError: One is none.
            ForeignAuthorityError: One is of another domain.
        """
        require_authority_certificates(domain, bundle)
