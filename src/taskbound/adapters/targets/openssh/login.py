"""Logging in with a certificate as who was handed it would, and seeing that nobody else could.

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
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from taskbound.adapters.ssh import BadSshKeyError, SshAgent, SshIdentity
from taskbound.adapters.targets.openssh.certificate import Authority, Grant, make_pair
from taskbound.adapters.targets.openssh.client import DENIED, LateError, OverError, reason_of
from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    from taskbound.adapters.targets.openssh.client import Child, OpensshClient
    from taskbound.ports.target import Minted


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
