"""Configuration and variables for OpenSSH to use host certificates; they contain no secret.

A host's credential has `SSH_PRIVATE_KEY` and is complete or refused: its key goes into an agent
(`taskbound.wiring.joining.ssh_agent`) and never becomes a variable. Values in the configuration are parsed
strictly: nothing can end the line, add an option or be expanded. A host is named by its target and known
only by the keys of the target's file; ssh offers the one certificate for it and asks for nothing. The
certificate file is an `IdentityFile`, since a `CertificateFile` would need the key in the agent too.
Single-host variables are set only for one host.
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
    """The credential of a host is incomplete or contains unexpected values."""

    code = "bad-ssh-credential"
    remedy = "the broker is of another release, or is not itself: look at `taskbound doctor`"


class SameHostError(DeniedError):
    """Two credentials are for the same host, which has one name in the configuration."""

    code = "same-host"
    remedy = "run a command for each credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """One host and its credential."""

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
    return _KEY in {*credential.secret, *credential.open} or _CERTIFICATE in {
        *credential.secret,
        *credential.open,
    }


def parse_hosts(credentials: Iterable[TaskCredential]) -> tuple[SshHost, ...]:
    """Returns the host credentials among these; raises BadSshCredentialError or SameHostError."""
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
    if said.keys() != _OPEN or credential.secret.keys() != {_KEY}:
        raise _fault(credential, "has other parts than a key, its certificate and a host's")
    if _CERTIFIED.fullmatch(said[_CERTIFICATE]) is None:
        raise _fault(credential, "has no certificate on one line")
    try:
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
    """Returns the files by name; `folder` must belong to this account alone and holds the socket `AGENT`."""
    if _FOLDER.fullmatch(str(folder)) is None:
        raise BadSshCredentialError(f"`{escape_text(str(folder))}` can't stand in a configuration of ssh")
    files = {f"{one.name}-cert.pub": f"{one.certificate}\n" for one in hosts}
    files[_KNOWN] = "".join(f"{one.name} {key}\n" for one in hosts for key in one.host_keys)
    files[CONFIGURATION] = "\n".join(_stanza(folder, one) for one in hosts)
    return files


def _stanza(folder: Path, host: SshHost) -> str:
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
    """Returns the environment variables, of `HOST_VARIABLES`."""
    found = {"SSH_AUTH_SOCK": str(folder / AGENT), "SSH_CONFIG": str(folder / CONFIGURATION)}
    if len(hosts) == 1:
        found |= {"SSH_HOST": hosts[0].host, "SSH_PORT": str(hosts[0].port), "SSH_USER": hosts[0].user}
    return found


def _fault(credential: TaskCredential, why: str) -> BadSshCredentialError:
    return BadSshCredentialError(
        f"the credential of `{escape_text(credential.target)}/{escape_text(credential.kind)}` {why}"
    )
