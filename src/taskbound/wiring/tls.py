"""TLS for listeners, with files that can be replaced while they are in use.

1. TLS 1.2 or later, without compression, renegotiation or session resumption: each connection presents its
   own certificate.
2. A client certificate is requested if there are authorities, and is optional: the client may have another
   proof. One of another issuer ends the connection. A named authority is a trust anchor whatever issued it.
   The daemon checks expiry, because its clock can't be set back and it records the refusal.
3. A key file readable by every account is refused.
4. Unusable files leave the current ones in use and are reported.
5. A listener that other machines can reach must use TLS.
"""

from __future__ import annotations

import logging
import ssl
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.wiring.address import BadAddressError

if TYPE_CHECKING:
    from collections.abc import Sequence


_log = logging.getLogger(__name__)
_OTHERS: Final = 0o007
_ANY_TIME: Final = ssl.VerifyFlags(0x200000)
"""OpenSSL's `X509_V_FLAG_NO_CHECK_TIME`, which Python has no name for (rule 2)."""


class BadTlsError(MalformedError):
    """The certificate, its key or the client authorities are unusable."""

    code = "bad-tls"
    remedy = "name PEM files that belong together; the key is readable by its own account, and by no others"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of certificate chain, key and client authorities."""

    certificate: Path
    """The chain that is shown, leaf first, PEM."""
    key: Path
    roots: Path | None = None
    """The authorities of client certificates, beside those of trust domains; none where there are none."""

    def seen(self) -> tuple[tuple[int, int, int], ...]:
        """Returns inode, size and mtime of each file, to detect replacement; zeros if it is missing."""
        found: list[tuple[int, int, int]] = []
        for one in (self.certificate, self.key, *([self.roots] if self.roots is not None else [])):
            try:
                status = one.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def context(self, authorities: Sequence[bytes] = ()) -> ssl.SSLContext:
        """Returns a server context of these files (rules 1 to 3); `authorities` of trust domains are DER."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        try:
            if stat.S_IMODE(self.key.stat().st_mode) & _OTHERS:
                raise BadTlsError(f"other accounts can read the key `{self.key}`", remedy="chmod 600 it")  # 3
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            if self.roots is not None:
                context.load_verify_locations(self.roots)
            if _trust(context, authorities) or self.roots is not None:
                context.verify_mode = ssl.CERT_OPTIONAL  # 2
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _ANY_TIME
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise BadTlsError(f"the files for TLS can't be used: {_words(error)}") from error
        return context


def _trust(context: ssl.SSLContext, authorities: Sequence[bytes]) -> bool:
    """Adds the authorities that OpenSSL can parse and skips others; returns whether any was added."""
    believed = False
    for one in authorities:
        try:
            context.load_verify_locations(cadata=one)
        except (ssl.SSLError, ValueError) as error:
            _log.warning("an authority of a trust domain is not taken for TLS: %s", _words(error))
        else:
            believed = True
    return believed


def read_files(certificate: str, key: str, roots: str, *, address: str, word: str) -> TlsFiles | None:
    """Returns the configured files, or None on the loopback without files (rule 5).

    `word` is the prefix of the settings' names in errors. Raises BadAddressError if TLS or a file is missing.
    """
    if certificate and key:
        return TlsFiles(certificate=Path(certificate), key=Path(key), roots=Path(roots) if roots else None)
    if certificate or key or roots:
        raise BadAddressError("TLS needs a certificate and its key", where=f"{word}_tls_certificate")
    if not ip_address(address).is_loopback:
        raise BadAddressError(
            f"`{address}` is not of the loopback, and there is no TLS", where=f"{word}_tls_certificate"
        )
    return None


def _no_password() -> str:
    return ""


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").lower().replace("_", " ")
    return getattr(error, "strerror", None) or "no PEM"
