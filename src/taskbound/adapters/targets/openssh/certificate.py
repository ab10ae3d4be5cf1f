"""Certificates of OpenSSH: made, and tried by logging in.

Of `certificate`:

1. Each certificate is for a key pair of Ed25519 that was made for it, and is kept by nobody here.
2. It begins a minute before it is made, as clocks differ, and is over at the second that was ordered.
3. It has the principals that are declared, and never none; its key id is the credential's name, and so is its
   serial, as far as 64 bits go.
4. What it may do is what the kind says: extensions are what is allowed, and without any there are none.
5. A CA is Ed25519, ECDSA on the three curves of NIST, or RSA of 2048 bits at least, which signs with SHA-512.
6. No error says anything of a key but which of the two it is, and in what way it is none.

Of `login`:

1. The machine's own `ssh` logs in and opens no session: nothing runs on the host, whatever is forced. That it
   is in is said by `ssh` itself, by a command on this side, and by nothing that the host sends.
2. The agent in this process says which certificate the host asked a signature of. It shows one first that is
   of the same CA, for the same account, and was never admitted. A host that would take it doesn't ask its
   helper, and what is revoked would open it. It is never signed with, so it opens nothing there either. As
   the right one follows in the same connection, no host counts a failed login (PerSourcePenalties).
3. Where a certificate is for networks that we may not be in, the same without them is shown last: then what
   was refused is where we come from, as it is to be.
4. Who is let in without any signature is not let in by the certificate.
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
    """What one certificate says."""

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
class Pair:
    """A key pair that was made for one certificate (rule 1)."""

    private: str = field(repr=False)
    """As OpenSSH writes one, without a passphrase."""
    public: SSHCertPublicKeyTypes = field(repr=False)


def make_pair() -> Pair:
    """A fresh one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Pair(private.decode(), key.public_key())


class Authority:
    """A CA that signs certificates."""

    def __init__(self, private_key: str) -> None:
        """Read its key.

        Raises:
            BadAdminAccessError: It is none that rule 5 names.
        """
        self._key = _read("the CA's key", private_key)

    @property
    def mark(self) -> str:
        """The fingerprint of its public key, as OpenSSH has it: `SHA256:…`."""
        return _mark(self._key)

    def sign(self, public: SSHCertPublicKeyTypes, grant: Grant, *, now: float) -> str:
        """A certificate of one line.

        Args:
            public: Whose it is.
            grant: What it says.
            now: Seconds since 1970.

        Raises:
            ValueError: It has no principals, or ends before it begins.
        """
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
    """Require that it can be used to reach a helper; the fingerprint of its public key.

    Raises:
        BadAdminAccessError: It is none that rule 5 names.
    """
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
    """A certificate that is shown, and whether the host asked for a signature by it (rule 2)."""

    asked = False

    def sign(self, data: bytes, flags: int) -> bytes | None:
        """As `SshIdentity.sign`."""
        self.asked = True
        return super().sign(data, flags)


class _Stranger(_Shown):
    """One that is never signed with."""

    def sign(self, data: bytes, flags: int) -> bytes | None:  # noqa: ARG002 - as `SshIdentity.sign`
        """None."""
        self.asked = True
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What one login is tried by."""

    strangers: tuple[_Shown, ...]
    ours: tuple[_Shown, ...]


def use_login(
    client: OpensshClient, authority: Authority, minted: Minted, *, helped: bool, patience: float
) -> None:
    """Log in with it, once.

    Args:
        client: Starts `ssh`.
        authority: Whose certificate it is.
        minted: What was handed out.
        helped: Whether the host has to ask a helper.
        patience: Seconds, for all of it.

    Raises:
        TargetUnreachedError: The host can't be reached.
        TargetUnavailableError: It is too slow.
        TargetRefusedError: It refuses the certificate, or would let in others.
    """
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
    """Whether `ssh` says that it is in (rule 1)."""
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
    """A name of this installation's that nobody has."""
    return name[:-_REST] + "".join(secrets.choice(_LETTERS) for _ in range(_REST))
