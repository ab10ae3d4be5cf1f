"""X.509-SVIDs: verifies a workload's certificate chain by its trust domain's authorities.

Source: X509-SVID §2 to §5; RFC 5280 §6. `cryptography` builds the path; the rest is checked here.

1. Bytes, certificates and path depth are bounded; a certificate occurs once in a chain.
2. The leaf has exactly one URI, a SPIFFE ID with a path; it is no authority, has critical `digitalSignature`
   usage but no certificate or CRL signing. If purposes are named, they are server and client. With an empty
   subject the names are critical.
3. The leaf's trust domain determines the authorities; certificates in the chain are never trust anchors. An
   intermediate with a SPIFFE ID must have this domain's.
4. The path is verified by signature, time and RFC 5280 constraints. Host names are never compared.
5. Time has no tolerance, for the leaf and its authorities.
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
    """A parsed, unverified chain."""

    leaf: x509.Certificate
    between: tuple[x509.Certificate, ...]
    spiffe: SpiffeId
    """What the workload's certificate says it is; its domain says whose authorities count."""


def read_chain(chain: Sequence[bytes]) -> Chain:
    """Parses a DER chain, leaf first (rules 1 and 2)."""
    if not 1 <= len(chain) <= _MOST or sum(map(len, chain)) > _MOST_BYTES:
        raise SvidSizeError(f"a chain has 1 to {_MOST} certificates in at most {_MOST_BYTES} bytes")  # 1
    if len(set(chain)) != len(chain):
        raise BadSvidError("a certificate stands twice in the chain")  # 1
    leaf, *between = map(_certificate, chain)
    return Chain(leaf=leaf, between=tuple(between), spiffe=_require_leaf(leaf))


def prove_chain(chain: Chain, authorities: Sequence[bytes], *, now: Instant) -> Shown:
    """Verifies a chain by its domain's DER authorities (rules 3 to 5)."""
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
    """Raises SvidExpiredError or SvidNotYetError unless a DER certificate is valid now (rule 5)."""
    _require_within(*_span_of(certificate), now)


def require_authority_certificates(domain: str, bundle: Bundle) -> None:
    """Raises BadBundleError or ForeignAuthorityError unless all are authorities of this domain."""
    for at, raw in enumerate(bundle.x509):
        where = f"x509-svid[{at}]"
        try:
            one = _certificate(raw)
            _require_authority(one)
            names = _uris(one)
        except (BadSvidError, SvidFormError) as error:
            raise BadBundleError(f"an authority is invalid: {error.message}", where=where) from error
        spiffe = [name for name in names if name.lower().startswith("spiffe:")]
        if any(name != f"spiffe://{domain}" for name in spiffe):
            raise ForeignAuthorityError(f"an authority says it is not of `{domain}`", where=where)


def _certificate(raw: bytes) -> x509.Certificate:
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
    return _instant(one.not_valid_before_utc), _instant(one.not_valid_after_utc)


@lru_cache(maxsize=256)
def _span_of(certificate: bytes) -> tuple[Instant, Instant]:
    """Caches a certificate's validity, because it comes with each request of a connection."""
    return _span(_certificate(certificate))


def _require_within(begins: Instant, ends: Instant, now: Instant) -> None:
    if now < begins:
        raise SvidNotYetError(f"the certificate counts from {render_instant(begins)}")  # 5
    if now >= ends:
        raise SvidExpiredError(f"the certificate ended at {render_instant(ends)}")  # 5


def _require_leaf(leaf: x509.Certificate) -> SpiffeId:
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
    return Instant(int(moment.timestamp()) * _MICROSECOND)


_SEQUENCE: Final = 0x30
_LONG: Final = 0x80
_MOST_LENGTH: Final = 3


def split_certificates(raw: bytes) -> tuple[bytes, ...]:
    """Splits concatenated DER certificates, without repeats; raises BadBundleError or BundleSizeError."""
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
    """Implements `Svids`."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """Returns the trust domain that a chain claims, unverified; raises as `read_chain`."""
        return read_chain(chain).spiffe.domain

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        return prove_chain(read_chain(chain), authorities, now=now)

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Raises SvidExpiredError or SvidNotYetError unless the certificate is valid now."""
        require_current(certificate, now=now)

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Raises BadBundleError or ForeignAuthorityError unless all are authorities of this domain."""
        require_authority_certificates(domain, bundle)
