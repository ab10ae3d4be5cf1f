"""OpenBao or Vault as a target: its address, and the roles that are copied for a credential.

1. The address uses `https`, or `http` on the loopback.
2. A path segment is a word of letters, digits, `_`, `-` and `.`, never `.` or `..` (A217); a mount and a
   namespace are such words joined by `/`.
3. A mount is not one of the server's own (`sys`, `auth`, `identity`, `cubbyhole`). A role is not named like a
   minted role, because the copy would be ended with it.
4. Either one other target verifies all kinds of this target, or none is verified: a credential is ended by
   its name, which does not show its kind.
5. Members of the engine's answer are handed out under unique variable names. Each is secret unless declared
   open, and at least one is secret.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.tool.name import parse_server_name

if TYPE_CHECKING:
    from collections.abc import Mapping


MOST_GIVEN: Final = 32
"""Members of an answer that are handed out."""
_MOST_TEXT: Final = 4_096
_MOST_WORDS: Final = 8
_PORTS: Final = range(1, 65_536)
_PORT: Final = 8_200
_SHOWN: Final = 80
_OURS: Final = "tb_"
"""How the names begin of what is minted (`core.credential.name`)."""
_SERVERS: Final = frozenset({"auth", "cubbyhole", "identity", "sys"})
_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MEMBER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ADDRESS: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::([0-9]{1,5}))?/?"
)
_LOOPBACK: Final = re.compile(r"127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenbaoPlace:
    """The server's address, and the target that verifies revocations. Raises BadTargetError if not valid."""

    address: str
    """`https://HOST:PORT` (rule 1)."""
    roots: str = ""
    """Absolute path of a PEM file: whose certificates count; the system's authorities where it is empty."""
    namespace: str = ""
    """Empty for the root namespace."""
    seen_in: str = ""
    """Another target of this installation, whose own word ends what was minted here (rule 4)."""
    host: str = field(init=False)
    port: int = field(init=False)
    tls: bool = field(init=False)

    def __post_init__(self) -> None:
        found = _ADDRESS.fullmatch(self.address)
        host = found[2].strip("[]") if found else ""
        port = int(found[3] or _PORT) if found else 0
        plain = found is not None and found[1] == "http"
        if not host or port not in _PORTS:
            raise BadTargetError(
                f"`{escape_text(self.address[:_SHOWN])}` is no address: it is `https://HOST:PORT`"
            )
        if plain and _LOOPBACK.fullmatch(host) is None:
            raise BadTargetError(
                "what goes to an address with `http` can be read by others",
                remedy="give it TLS, and name it by `https`; `http` is for this machine's own loopback alone",
            )  # 1
        if self.roots and not (
            self.roots.startswith("/") and len(self.roots) <= _MOST_TEXT and self.roots.isprintable()
        ):
            raise BadTargetError("the authorities are a file with an absolute path")
        if self.roots and plain:
            raise BadTargetError("an address with `http` has no certificate that authorities could vouch for")
        if self.namespace and (not _is_path(self.namespace) or self.namespace.lower() == "root"):
            raise BadTargetError(
                f"`{escape_text(self.namespace[:_SHOWN])}` can't name a namespace",
                remedy="leave it out for the root namespace; others are words with `/` between them",
            )  # 2
        if self.seen_in:
            _require_target(self.seen_in)
        for name, value in (("host", host), ("port", port), ("tls", not plain)):
            object.__setattr__(self, name, value)

    @property
    def revocable(self) -> bool:
        """Whether another target verifies that a credential is gone."""
        return bool(self.seen_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenbaoKind:
    """The copied role, and the handed-out members of the answer. Raises BadKindError by rules 2, 3 and 5."""

    mount: str
    """Where the engine is mounted."""
    role: str
    """The name of its role."""
    gives: Mapping[str, str]
    """By member of the engine's answer: the name of the variable."""
    open: tuple[str, ...] = ()
    """Members of `gives` that may be shown, sorted."""
    roles: str = "roles"
    """Where the engine keeps roles."""
    creds: str = "creds"
    """Where it gives credentials."""

    def __post_init__(self) -> None:
        if not _is_path(self.mount) or self.mount.split("/")[0] in _SERVERS:
            raise BadKindError(f"`{escape_text(self.mount[:_SHOWN])}` can't name where an engine is mounted")
        for what, one in (
            ("role", self.role),
            ("path of roles", self.roles),
            ("path of credentials", self.creds),
        ):
            if not _is_word(one):
                raise BadKindError(f"`{escape_text(one[:_SHOWN])}` can't name a {what}")
        if self.role.startswith(_OURS):
            raise BadKindError(f"`{escape_text(self.role[:_SHOWN])}` is named as what is minted here")  # 3
        if self.roles == self.creds:
            raise BadKindError("an engine keeps roles elsewhere than where it gives credentials")
        _require_given(self.gives, self.open)

    @property
    def parameters(self) -> tuple[str, ...]:
        return ()

    @property
    def words(self) -> str:
        return f"what the role `{escape_text(self.role)}` of `{escape_text(self.mount)}` gives"


def _require_given(gives: Mapping[str, str], opened: tuple[str, ...]) -> None:
    if not 1 <= len(gives) <= MOST_GIVEN:
        raise BadKindError(f"1 to {MOST_GIVEN} members of an answer are handed out")
    for member, variable in gives.items():
        if _MEMBER.fullmatch(member) is None:
            raise BadKindError(f"`{escape_text(member[:_SHOWN])}` can't be a member of an answer")
        if _VARIABLE.fullmatch(variable) is None:
            raise BadKindError(f"`{escape_text(variable[:_SHOWN])}` can't name a variable: A-Z, 0-9 and `_`")
    if len(set(gives.values())) != len(gives):
        raise BadKindError("two members of an answer can't have the same variable")  # 5
    if list(opened) != sorted(set(opened)) or not set(opened) <= gives.keys():
        raise BadKindError("what is open is sorted, each said once, and of what is given")
    if len(opened) == len(gives):
        raise BadKindError("nothing of the answer would be secret")


def _require_target(name: str) -> None:
    try:
        parse_server_name(name)
    except MalformedError:
        raise BadTargetError(f"`{escape_text(name[:_SHOWN])}` can't name a target") from None


def _is_word(text: str) -> bool:
    return _WORD.fullmatch(text) is not None and text.strip(".") != ""


def _is_path(text: str) -> bool:
    words = text.split("/")
    return len(words) <= _MOST_WORDS and all(map(_is_word, words))
