"""OpenSSH certificates: signing, and testing by a login.

Of `certificate`:

1. Each certificate is for a fresh Ed25519 key pair, which is not stored here.
2. It is valid from one minute before now (clock skew) to the ordered second.
3. It has the declared principals, at least one. The key id is the credential's name, and the serial is
   derived from it.
4. Its extensions are those of the kind; none by default.
5. A CA key is Ed25519, ECDSA on the NIST curves, or RSA of at least 2048 bits, signing with SHA-512.
6. Errors say which key is unusable and why, and nothing of its content.

Of `login`:

1. The machine's `ssh` logs in and opens no session, so nothing runs on the host. `ssh` reports success
   through a local command, not through anything that the host sends.
2. The in-process agent records for which certificate the host requests a signature. It first offers a
   decoy of the same CA and account that was never admitted: a host that accepts it doesn't ask its
   helper, so revoked certificates would work. The decoy never signs. The real one follows in the same
   connection, so the host counts no failed login (PerSourcePenalties).
3. For a certificate bound to networks, an unbound copy is offered last: if the host then asks for it, the
   refusal was due to our address, as intended.
4. A host that lets the client in without a signature fails the test.
"""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from binascii import a2b_base64
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_private_key,
    load_ssh_public_identity,
)

from taskbound.adapters.ssh import BadSshKeyError, SshAgent, SshIdentity
from taskbound.adapters.targets.openssh.client import DENIED, LateError, OverError, reason_of
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.target import BadAdminAccessError
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.serialization import SSHCertPublicKeyTypes

    from taskbound.adapters.targets.openssh.client import Child, OpensshClient
    from taskbound.ports.target import Minted


EARLY: Final = 60
"""Seconds that a certificate is valid before it is made (rule 2)."""
_Key: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_LEAST_RSA: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The content of one certificate."""

    name: str
    """The credential's name in the target (rule 3)."""
    principals: Sequence[str]
    ends: int
    """Seconds since 1970 at which it is over."""
    command: str = ""
    """The one line that may run; empty for any."""
    source: Sequence[str] = ()
    """Networks; none for anywhere."""
    allows: Sequence[str] = ()
    """Of `core.target.openssh.ALLOWED` (rule 4)."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair made for one certificate (rule 1)."""

    private: str = field(repr=False)
    """As OpenSSH writes one, without a passphrase."""
    public: SSHCertPublicKeyTypes = field(repr=False)


def make_pair() -> KeyPair:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return KeyPair(private.decode(), key.public_key())


class Authority:
    """A CA that signs certificates."""

    def __init__(self, private_key: str) -> None:
        """Raises BadAdminAccessError if the key is not of rule 5."""
        self._key = _read("the CA's key", private_key)

    @property
    def mark(self) -> str:
        """Returns the public key's fingerprint, `SHA256:…`."""
        return _mark(self._key)

    def sign(self, public: SSHCertPublicKeyTypes, grant: Grant, *, now: float) -> str:
        """Returns a one-line certificate; `now` in Unix seconds. Raises ValueError for an invalid grant."""
        found = (
            SSHCertificateBuilder()
            .public_key(public)
            .type(SSHCertificateType.USER)
            .serial(int.from_bytes(sha256(grant.name.encode()).digest()[:8], "big"))
            .key_id(grant.name.encode())
            .valid_principals([one.encode() for one in grant.principals])
            .valid_after(int(now) - EARLY)
            .valid_before(grant.ends)
        )
        if grant.command:
            found = found.add_critical_option(b"force-command", grant.command.encode())
        if grant.source:
            found = found.add_critical_option(b"source-address", ",".join(grant.source).encode())
        for one in grant.allows:
            found = found.add_extension(f"permit-{one}".encode(), b"")
        return found.sign(self._key).public_bytes().decode()


def require_key(private_key: str) -> str:
    """Returns the fingerprint of a helper's key; raises BadAdminAccessError if it is not of rule 5."""
    return _mark(_read("the helper's key", private_key))


def _mark(key: _Key) -> str:
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    return "SHA256:" + b64encode(sha256(a2b_base64(public)).digest()).decode().rstrip("=")


def _read(whose: str, text: str) -> _Key:
    try:
        key = load_ssh_private_key(text.encode(), password=None)
    except TypeError:
        raise BadAdminAccessError(f"{whose} has a passphrase") from None  # 6
    except (ValueError, UnsupportedAlgorithm):
        raise BadAdminAccessError(f"{whose} can't be read") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA:
        raise BadAdminAccessError(f"{whose} has fewer than {_LEAST_RSA} bits")
    if isinstance(key, Ed25519PrivateKey | rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise BadAdminAccessError(f"{whose} is of a kind that signs nothing here")


_IN: Final = b"in"
_SETTINGS: Final = {
    "LocalCommand": f"echo {_IN.decode()}",
    "LogLevel": "DEBUG1",
    "PermitLocalCommand": "yes",
}
_STRANGER: Final = "taskbound-never-admitted"
_OFFERED: Final = f"Offering public key: {_STRANGER} ".encode()
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_REST: Final = 35
"""Characters of a name that are one credential's alone (`core.credential.name`)."""
_SHORT: Final = 60
"""Seconds that what is made for this login alone is valid."""
_CHECK: Final = "on the host, `taskbound-ssh-host check` says which lines of sshd's are missing"


class _Shown(SshIdentity):
    asked = False

    def sign(self, data: bytes, flags: int) -> bytes | None:
        self.asked = True
        return super().sign(data, flags)


class _Stranger(_Shown):
    def sign(self, data: bytes, flags: int) -> bytes | None:  # noqa: ARG002 - as `SshIdentity.sign`
        self.asked = True
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    strangers: tuple[_Shown, ...]
    ours: tuple[_Shown, ...]


def use_login(
    client: OpensshClient, authority: Authority, minted: Minted, *, helped: bool, patience: float
) -> None:
    """Logs in once, within `patience` seconds; `helped`: the host must ask a helper."""
    deadline = time.monotonic() + patience
    account = minted.open["SSH_USER"]
    way = _way(authority, minted, helped=helped)
    path = client.folder / f"use-{secrets.token_hex(8)}"
    try:
        with (
            SshAgent(path, (*way.strangers, *way.ours)),
            client.start(account, path, patience=patience, settings=_SETTINGS, flags=("-N",)) as child,
        ):
            inside = _is_in(child, deadline)
            said = bytes(child.said)
    except OSError as error:
        raise TargetUnreachedError(f"`ssh` can't be started: {error.strerror}") from None
    _judge(way, escape_text(account), said, inside=inside)


def _is_in(child: Child, deadline: float) -> bool:
    try:
        found = child.line(deadline=deadline) == _IN
        if not found:
            child.finish(deadline=deadline)
    except OverError:
        return False
    except LateError:
        raise TargetUnavailableError("the host took longer than the call may take") from None
    return found


def _judge(way: _Way, account: str, said: bytes, *, inside: bool) -> None:
    if any(one.asked for one in way.strangers):
        raise TargetRefusedError(
            f"the host would let certificates in as `{account}` that were never admitted: its sshd does not"
            " ask the helper (AuthorizedPrincipalsCommand), or trusts the CA elsewhere too",
            remedy=_CHECK,
        )  # 2
    if not inside:
        reason = reason_of(said)
        if reason == DENIED:
            raise TargetRefusedError(
                f"the host refuses the certificate as `{account}`: it has no such account, or its sshd trusts"
                " another CA (TrustedUserCAKeys), or what it asks of helper and KRL can't be had",
                remedy=_CHECK,
            )
        raise TargetUnavailableError(reason)
    if not any(one.asked for one in way.ours):
        raise TargetRefusedError(f"the host lets `{account}` in without any key")  # 4
    if way.strangers and _OFFERED not in said:
        raise TargetUnavailableError("this machine's `ssh` did not show the host what it has to refuse")


def _way(authority: Authority, minted: Minted, *, helped: bool) -> _Way:
    private, line = minted.secret["SSH_PRIVATE_KEY"], minted.open["SSH_CERTIFICATE"]
    try:
        ours = [_Shown(private, line)]
        found = load_ssh_public_identity(line.encode())
    except (BadSshKeyError, ValueError):
        raise TargetRefusedError("what was minted is no certificate") from None
    if not isinstance(found, SSHCertificate):
        raise TargetRefusedError("what was minted is no certificate")
    now, name = time.time(), found.key_id.decode()
    principals = [one.decode() for one in found.valid_principals]
    soon = int(now) + _SHORT
    if b"source-address" in found.critical_options:  # 3
        command = found.critical_options.get(b"force-command", b"").decode()
        again = Grant(name=name, principals=principals, ends=min(soon, found.valid_before), command=command)
        ours.append(_Shown(private, authority.sign(found.public_key(), again, now=now)))
    if not helped:
        return _Way(strangers=(), ours=tuple(ours))
    pair = make_pair()
    never = Grant(name=_never(name), principals=principals, ends=soon, command="false")
    stranger = _Stranger(pair.private, authority.sign(pair.public, never, now=now), comment=_STRANGER)
    return _Way(strangers=(stranger,), ours=tuple(ours))


def _never(name: str) -> str:
    return name[:-_REST] + "".join(secrets.choice(_LETTERS) for _ in range(_REST))
