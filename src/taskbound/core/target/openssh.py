"""An OpenSSH host as a target: its address, and which certificates are signed for it (PROTOCOL.certkeys).

1. A certificate names one account and the declared principals. One without principals would be valid for
   every account (CVE-2024-7594).
2. It has only the declared permissions: no terminal, forwarding or login scripts by default.
3. A forced command is a list of words, quoted so that POSIX shells, zsh and fish read the line alike. A
   parameter is one whole word, `{name}`, and never an option.
4. The host is known by its declared keys only.
5. The helper is reached through a named account; `none` declares that there is no helper.
6. A kind that can run anything as `root` owns the host and can undo revocation, so its file and the
   description for approvers must say `root`. Older files without it are still read, so that their credentials
   can be ended. Other accounts that can become root are not recognized.
7. Networks are written as sshd reads them: it refuses a certificate with an unreadable network, and matches
   IPv4-mapped IPv6 addresses as IPv4.
"""

from __future__ import annotations

import binascii
import re
import shlex
from base64 import b64decode
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadParameterError, BadTargetError

if TYPE_CHECKING:
    from collections.abc import Mapping


ALLOWED: Final = ("X11-forwarding", "agent-forwarding", "port-forwarding", "pty", "user-rc")
"""What a certificate can permit, as `permit-…` of PROTOCOL.certkeys."""
NO_HELPER: Final = "none"
ROOT: Final = "root"
MOST_HOST_KEYS: Final = 8
MOST_LISTED: Final = 32
"""Principals, words of a command, or networks."""
_ACCOUNT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_PARAMETER: Final = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_KEY_TYPES: Final = frozenset(
    {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}
)
_MOST_KEY: Final = 4_096
_MOST_WORD: Final = 256
_PORTS: Final = range(1, 65_536)
_SHOWN: Final = 80
_IPV6: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class OpensshPlace:
    """The host's address and keys. Raises BadTargetError if not valid."""

    host: str
    """A name or an address."""
    host_keys: tuple[str, ...]
    """The host's own public keys, type and base64 as in `known_hosts`: 1 to `MOST_HOST_KEYS` (rule 4)."""
    port: int = 22
    helper: str = "root"
    """The account by which the helper is reached, or `NO_HELPER` (rule 5)."""

    def __post_init__(self) -> None:
        if _HOST.fullmatch(self.host) is None:
            raise BadTargetError(f"`{escape_text(self.host[:_SHOWN])}` is no host's name or address")
        if self.port not in _PORTS:
            raise BadTargetError(f"{self.port} is no port")
        if not 1 <= len(self.host_keys) <= MOST_HOST_KEYS or len(set(self.host_keys)) != len(self.host_keys):
            raise BadTargetError(
                f"a host is known by 1 to {MOST_HOST_KEYS} keys, each said once",
                remedy="on the host, `cat /etc/ssh/ssh_host_*_key.pub` shows them",
            )
        for one in self.host_keys:
            _require_key(one)
        if _ACCOUNT.fullmatch(self.helper) is None:
            raise BadTargetError(f"`{escape_text(self.helper[:_SHOWN])}` can't name an account")

    @property
    def helped(self) -> bool:
        return self.helper != NO_HELPER

    @property
    def revocable(self) -> bool:
        return self.helped


@dataclass(frozen=True, slots=True, kw_only=True)
class OpensshKind:
    """The permissions of a certificate. Raises BadKindError by rules 1 to 3."""

    account: str
    """The account of the host that it is for."""
    principals: tuple[str, ...]
    """1 to `MOST_LISTED` (rule 1)."""
    command: tuple[str, ...] = ()
    """The words of the one command that may run; without any, each may (rule 3)."""
    source: tuple[str, ...] = ()
    """Networks that it may be used from; without any, from anywhere."""
    allows: tuple[str, ...] = ()
    """Of `ALLOWED` (rule 2), sorted."""
    root: bool = False
    """Whether the file declares that a holder owns the host (rule 6)."""

    def __post_init__(self) -> None:
        if _ACCOUNT.fullmatch(self.account) is None:
            raise BadKindError(f"`{escape_text(self.account[:_SHOWN])}` can't name an account")
        _require_listed("principals", self.principals)
        _require_listed("networks", self.source)
        if not self.principals:
            raise BadKindError("a certificate without principals is good for every account")
        for one in self.principals:
            if _PRINCIPAL.fullmatch(one) is None:
                raise BadKindError(f"`{escape_text(one[:_SHOWN])}` can't name a principal")
        for one in self.source:
            _require_network(one)
        if list(self.allows) != sorted(set(self.allows)) or not set(self.allows) <= set(ALLOWED):
            raise BadKindError(f"what is allowed is sorted, each once, and of {', '.join(ALLOWED)}")
        if len(self.command) > MOST_LISTED:
            raise BadKindError(f"a command has {MOST_LISTED} words at most")
        for one in self.command:
            if not 1 <= len(one) <= _MOST_WORD or not one.isprintable():
                raise BadKindError(f"a word of a command is 1 to {_MOST_WORD} characters, none of control")
            if _PARAMETER.fullmatch(one) is None and _PARAMETER.search(one) is not None:
                raise BadKindError("what is left to who asks is a whole word of the command")  # 3
        if self.command and _PARAMETER.fullmatch(self.command[0]) is not None:
            raise BadKindError("which program runs is not left to who asks")

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(sorted({found[1] for one in self.command if (found := _PARAMETER.fullmatch(one))}))

    @property
    def owns(self) -> bool:
        """Whether a holder of the certificate can take over the host (rule 6)."""
        return self.account == ROOT and not self.command

    @property
    def words(self) -> str:
        run = f"runs `{escape_text(shlex.join(self.command))}` alone" if self.command else "runs anything"
        run += ", also what undoes its end" if self.owns else ""
        whence = f", from {', '.join(self.source)} alone" if self.source else ""
        more = f", with {', '.join(self.allows)}" if self.allows else ""
        return f"as `{self.account}`, {run}{whence}{more}"

    def forced(self, values: Mapping[str, str]) -> str:
        """Returns the forced command as a shell line, empty for none; raises BadParameterError."""
        return " ".join(_quoted(self._word(one, values)) for one in self.command)

    @staticmethod
    def _word(one: str, values: Mapping[str, str]) -> str:
        found = _PARAMETER.fullmatch(one)
        if found is None:
            return one
        value = values.get(found[1], "")
        if not value or not value.isprintable():
            raise BadParameterError(f"`{found[1]}` is a text without characters of control")
        if value.startswith("-"):
            raise BadParameterError(f"`{found[1]}` would be an option of the command")
        return value


def _quoted(word: str) -> str:
    """Quotes a word (rule 3): fish reads backslashes within quotes and `%self`, zsh expands `=name`."""
    if word[:1] in {"=", "%"} and shlex.quote(word) == word:
        return f"'{word}'"
    return "\\\\".join(shlex.quote(one) for one in word.split("\\"))


def _require_key(text: str) -> None:
    kind, _, encoded = text.partition(" ")
    try:
        raw = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    name = kind.encode("utf-8", "replace")
    if (
        kind not in _KEY_TYPES
        or len(text) > _MOST_KEY
        or not raw.startswith(len(name).to_bytes(4, "big") + name)
    ):
        raise BadTargetError(
            f"`{escape_text(text[:_SHOWN])}` is no public key of a host",
            remedy="it is type and base64, without a name and a comment: `ssh-ed25519 AAAA…`",
        )


def _require_listed(what: str, found: tuple[str, ...]) -> None:
    if len(found) > MOST_LISTED or len(set(found)) != len(found):
        raise BadKindError(f"{what} are {MOST_LISTED} at most, and each is said once")


def _require_network(text: str) -> None:
    address, _, prefix = text.partition("/")
    found: IPv4Network | IPv6Network | None
    try:
        found = ip_network(text)
        mapped = IPv6Address(address).ipv4_mapped if found.version == _IPV6 else None
    except ValueError:
        found = mapped = None
    if found is None or mapped is not None or "%" in address or (prefix and not prefix.isdecimal()):
        raise BadKindError(
            f"`{escape_text(text[:_SHOWN])}` is no network: an address, or one with a prefix like 10.0.0.0/8"
        )
