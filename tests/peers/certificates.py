"""The one builder of certificates for tests, which conform to RFC 5280: Python 3.13 verifies strictly."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


Extension: TypeAlias = tuple[x509.ExtensionType, bool]
"""An extension, and whether it is critical."""

_PURPOSES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def usage(**on: bool) -> x509.KeyUsage:
    """A key usage with these bits and no others."""
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip  # a list of words reads better as words
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def common_name(name: str) -> x509.Name:
    """A subject of one common name; empty without one."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def host_name(host: str) -> x509.GeneralName:
    """A host or an address, as a certificate names it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def signed(  # noqa: PLR0913 -- each is something that a test makes wrong
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    lasts: tuple[dt.timedelta, dt.timedelta] = (dt.timedelta(hours=-1), dt.timedelta(days=1)),
    now: dt.datetime | None = None,
    names: Sequence[x509.GeneralName] = (),
    ca: bool = False,
    path_length: int | None = None,
    extensions: Sequence[Extension] = (),
    without: Sequence[type[x509.ExtensionType]] = (),
) -> x509.Certificate:
    """A certificate with the extensions that RFC 5280 asks for (section 4.2).

    Args:
        subject: Its common name.
        key: Whose public half it certifies.
        by: The certificate and key of its issuer; it signs itself without them.
        lasts: From when until when, from `now`.
        now: The machine's own time where it is not given.
        names: Subject alternative names; critical where there is no subject.
        ca: Whether it is an authority.
        path_length: How many authorities may stand below it.
        extensions: Take the place of those of their kind.
        without: Kinds that it leaves out.
    """
    name, public = common_name(subject), key.public_key()
    issuer = key if by is None else by[1]
    bits = {"key_cert_sign": True, "crl_sign": True} if ca else {"digital_signature": True}
    own: list[Extension] = [
        (x509.BasicConstraints(ca, path_length), True),
        (usage(**bits), True),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False),
    ]
    if not ca:
        own.append((x509.ExtendedKeyUsage(_PURPOSES), False))
    if names:
        own.append((x509.SubjectAlternativeName(names), not subject))
    kinds = {type(one): (one, critical) for one, critical in (*own, *extensions)}
    here, (begins, ends) = now or dt.datetime.now(dt.UTC), lasts
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if by is None else by[0].subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(here + begins)
        .not_valid_after(here + ends)
    )
    for kind, (one, critical) in kinds.items():
        if kind not in without:
            made = made.add_extension(one, critical)
    return made.sign(issuer, SHA256())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as TLS servers read it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(folder: Path, *, address: str = "127.0.0.1", name: str = "certificate") -> tuple[Path, Path]:
    """The files of a certificate of the loopback that vouches for itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    both = usage(digital_signature=True, key_cert_sign=True), True  # an authority that also serves
    made = signed("tests", key, names=[host_name(address)], ca=True, path_length=0, extensions=[both])
    chain, secret = folder / f"{name}.pem", folder / f"{name}-key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(private_pem(key))
    return chain, secret
