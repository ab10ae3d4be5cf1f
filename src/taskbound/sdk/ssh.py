"""What OpenSSH's programs need to use certificates of hosts: a configuration and variables, without a secret.

1. A credential of a host has `SSH_PRIVATE_KEY`, and is whole or refused: nobody takes its key for a variable.
   The key is for an agent (`taskbound.wiring.joining.ssh_agent`, `taskbound exec`).
2. Nothing of it can be more than what it stands for: what goes into a line of the configuration is read as
   strictly as a target's file, and holds nothing that ends the line, is an option or is expanded.
3. In the configuration a host goes by its target's name. It is known by the keys that the target's file says,
   and by nothing else; it is shown the one certificate that is for it, and nobody is asked for anything. ssh
   takes a certificate out of an agent where a file of it is named as `IdentityFile`; as `CertificateFile` it
   would need the key in the agent too.
4. Several hosts share an agent and a configuration. What a single variable says is there where there is one.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.target import OpensshKind, OpensshPlace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from taskbound.sdk.wish import TaskCredential


AGENT: Final = "agent"
"""The agent's socket, in the folder of the configuration."""
CONFIGURATION: Final = "config"
HOST_VARIABLES: Final = ("SSH_AUTH_SOCK", "SSH_CONFIG", "SSH_HOST", "SSH_PORT", "SSH_USER")
"""The variables that are made of credentials of hosts."""
_KEY: Final = "SSH_PRIVATE_KEY"
_CERTIFICATE: Final = "SSH_CERTIFICATE"
_OPEN: Final = frozenset({"SSH_HOST", "SSH_PORT", "SSH_USER", _CERTIFICATE, "SSH_HOST_KEYS"})
_KNOWN: Final = "known_hosts"
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_CERTIFIED: Final = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,}={0,2}( [ -~]*)?")
_FOLDER: Final = re.compile(r"/[A-Za-z0-9_./+-]*")


class BadSshCredentialError(MalformedError):
    """What was handed out for a host is not what OpenSSH's programs are given."""

    code = "bad-ssh-credential"
    remedy = "the broker is of another release, or is not itself: look at `taskbound doctor`"


class SameHostError(DeniedError):
    """Two credentials are of one host, which has one name in the configuration."""

    code = "same-host"
    remedy = "run a command for each credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """One host, and what opens it."""

    name: str
    """The target's."""
    host: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    """Type and base64 of each."""
    certificate: str
    """One line."""
    private_key: str = field(repr=False)
    ends: int
    """When the certificate does: instant, µs since the epoch."""


def is_of_host(credential: TaskCredential) -> bool:
    """Whether this is a credential of a host (rule 1)."""
    return _KEY in {*credential.secret, *credential.open} or _CERTIFICATE in {
        *credential.secret,
        *credential.open,
    }


def parse_hosts(credentials: Iterable[TaskCredential]) -> tuple[SshHost, ...]:
    """Those credentials that are of hosts, as such.

    Raises:
        BadSshCredentialError: One has not exactly what such a one has, or something else in its place.
        SameHostError: Two are of one target.
    """
    found: dict[str, SshHost] = {}
    for one in credentials:
        if not is_of_host(one):
            continue
        if one.target in found:
            raise SameHostError(f"two credentials would go by the host's name `{escape_text(one.target)}`")
        found[one.target] = _parse_host(one)
    return tuple(found.values())


def _parse_host(credential: TaskCredential) -> SshHost:
    said = credential.open
    if said.keys() != _OPEN or credential.secret.keys() != {_KEY}:  # 1
        raise _fault(credential, "has other parts than a key, its certificate and a host's")
    if _CERTIFIED.fullmatch(said[_CERTIFICATE]) is None:
        raise _fault(credential, "has no certificate on one line")
    try:  # 2
        place = OpensshPlace(
            host=said["SSH_HOST"],
            port=int(said["SSH_PORT"]) if _PORT.fullmatch(said["SSH_PORT"]) else 0,
            host_keys=tuple(said["SSH_HOST_KEYS"].split("\n")),
        )
        kind = OpensshKind(account=said["SSH_USER"], principals=(said["SSH_USER"],))
    except MalformedError as error:
        raise _fault(credential, f"names no host: {error.message}") from error
    return SshHost(
        name=credential.target,
        host=place.host,
        port=place.port,
        user=kind.account,
        host_keys=place.host_keys,
        certificate=said[_CERTIFICATE],
        private_key=credential.secret[_KEY],
        ends=credential.ends,
    )


def render_files(folder: Path, hosts: Sequence[SshHost]) -> dict[str, str]:
    """The files of a configuration by name: `CONFIGURATION`, what it names, and no secret.

    Args:
        folder: Where they will stand, beside the agent's socket `AGENT`; this account's alone.
        hosts: Those that it is for.

    Raises:
        BadSshCredentialError: The folder's path can't stand in a configuration.
    """
    if _FOLDER.fullmatch(str(folder)) is None:
        raise BadSshCredentialError(f"`{escape_text(str(folder))}` can't stand in a configuration of ssh")
    files = {f"{one.name}-cert.pub": f"{one.certificate}\n" for one in hosts}
    files[_KNOWN] = "".join(f"{one.name} {key}\n" for one in hosts for key in one.host_keys)
    files[CONFIGURATION] = "\n".join(_stanza(folder, one) for one in hosts)
    return files


def _stanza(folder: Path, host: SshHost) -> str:
    """What ssh does for one host (rule 3)."""
    lines = {
        "HostName": host.host,
        "Port": host.port,
        "User": host.user,
        "HostKeyAlias": host.name,
        "UserKnownHostsFile": folder / _KNOWN,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentityAgent": folder / AGENT,
        "IdentityFile": folder / f"{host.name}-cert.pub",
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
    }
    return "".join([f"Host {host.name}\n", *(f"    {name} {value}\n" for name, value in lines.items())])


def render_variables(folder: Path, hosts: Sequence[SshHost]) -> dict[str, str]:
    """What a program finds them by: of `HOST_VARIABLES` (rule 4)."""
    found = {"SSH_AUTH_SOCK": str(folder / AGENT), "SSH_CONFIG": str(folder / CONFIGURATION)}
    if len(hosts) == 1:
        found |= {"SSH_HOST": hosts[0].host, "SSH_PORT": str(hosts[0].port), "SSH_USER": hosts[0].user}
    return found


def _fault(credential: TaskCredential, why: str) -> BadSshCredentialError:
    return BadSshCredentialError(
        f"the credential of `{escape_text(credential.target)}/{escape_text(credential.kind)}` {why}"
    )
