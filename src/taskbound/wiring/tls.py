"""TLS for a process that listens: from files that may be replaced while it does.

1. TLS 1.2 at least, no compression, no renegotiation, no session that is taken up again: each connection
   shows its certificate itself.
2. A client's certificate is asked for where there are authorities for it, in the file or of trust domains,
   and is no condition: who shows none may have another proof, and one that they did not issue ends the
   connection. An authority that is named is one, whoever issued it. Whether a certificate has ended is told
   by the daemon, whose clock is not set back, and which names the refusal and records it.
3. A key that every account of the machine can read is no key.
4. Files that can't be taken leave what is served as it is, and say why.
5. What is reached from elsewhere than this machine has TLS: what is shown to it must not be read on the way.
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
    """The certificate, its key or the authorities of clients can't be used for TLS."""

    code = "bad-tls"
    remedy = "name PEM files that belong together; the key is readable by its own account, and by no others"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where everything is."""

    certificate: Path
    """The chain that is shown, leaf first, PEM."""
    key: Path
    roots: Path | None = None
    """The authorities of client certificates, beside those of trust domains; none where there are none."""

    def seen(self) -> tuple[tuple[int, int, int], ...]:
        """What tells that a file was replaced: inode, size and time of each; zeros for none."""
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
        """What serves with these files as they are now (rules 1 to 3).

        Args:
            authorities: Of trust domains, DER.

        Raises:
            BadTlsError: They can't be used.
        """
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
    """Believe these; whether one is. One that TLS can't read is believed by nobody, and hinders no other."""
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
    """The files that were named; none on the loopback without (rule 5).

    Args:
        certificate: The chain's path, or empty.
        key: Its key's.
        roots: That of the authorities of clients.
        address: Where is listened.
        word: With what the names of these settings begin.

    Raises:
        BadAddressError: It would be reached from elsewhere without TLS, or one of them is missing.
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
    """A key that wants one is refused: nobody is there to be asked."""
    return ""


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").lower().replace("_", " ")
    return getattr(error, "strerror", None) or "no PEM"
