"""Slots: where a secret of an upstream server goes. The place is pinned with the server, the value never is.

Rules:

1. A slot is written `KIND:NAME`. `environment:NAME` is a variable of a server that is started; `header:NAME`
   and `query:NAME` go with each request to a URL; `argument:TOOL/NAME` is a top-level argument of one of the
   server's own tools. `oauth:client-secret` and `oauth:private-key` are what a client proves itself with
   where tokens for a URL are given (`oauth.client`). Two are no server's: `admin:access`, what the broker
   comes to a target with, and `kept:CREDENTIAL`, what ends a credential there. There is one way to write it:
   headers in small letters. Behind `=` may stand what fills it in place of a sealed value: a credential that
   is minted for the task (`source`).
2. A slot holds what opens something, and nothing that decides what runs or who is spoken to: no variable
   that a loader, a shell or an interpreter takes for code or for a place of code, and none that a tool's
   configuration, a proxy or a list of authorities is taken from. A token of such a tool (`GIT_TOKEN`,
   `NPM_TOKEN`) is one.
3. A value is `MIN_SECRET` to `MAX_SECRET` bytes of UTF-8: what is shorter can't be told from other text
   when an answer is looked through for it. It holds no zero byte, and in a header and for OAuth printable
   ASCII only.
4. A value is sealed for one binding: namespace, server, identity, slot and number. What opens under another
   is not believed (`wire.secret`). Each value of a slot has the number after the one before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadSecretError, BadSlotError
from taskbound.core.tool.name import METHOD_NAMES, parse_own_name, shown
from taskbound.core.tool.source import Source, parse_source

if TYPE_CHECKING:
    from collections.abc import Iterable


MIN_SECRET: Final = 8
MAX_SECRET: Final = 8_192
MAX_SLOTS: Final = 32

_NAMES: Final = {
    "environment": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}"),
    "header": re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"),
    "query": re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}"),
    "argument": re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}"),
    "oauth": re.compile(r"client-secret|private-key"),
    "admin": re.compile(r"access"),
    "kept": re.compile(r"crd_[a-z2-7]{35}"),
}
_LINES: Final = frozenset({"header", "oauth"})
_MINTED: Final = frozenset({"argument", "environment", "header", "query"})
"""Kinds of slots that a credential can fill: what a client proves itself with is a secret of its own."""
_HEADER: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_CODE: Final = frozenset(
    {
        "BASH_ENV", "CLASSPATH", "ENV", "GCONV_PATH", "HOME", "IFS", "PATH",
        "PERL5DB", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "SHELL", "SSH_ASKPASS", "SSH_AUTH_SOCK",
        "SSH_PKCS11_HELPER", "SSH_SK_HELPER", "SSH_SK_PROVIDER", "TMPDIR", "ZDOTDIR",
    }
)  # fmt: skip  # a list of words reads better as words
_CODE_PREFIXES: Final = ("DYLD_", "_JAVA_", "JAVA_", "JDK_", "LD_", "NODE_", "PYTHON", "UV_")
_TOOLS: Final = ("BUN_", "DOTNET_", "GIT_", "NPM_", "PIP_", "SSL_")
"""What these tools read, in either case, is mostly configuration."""
_CONFIGURED: Final = ("GIT_CONFIG_", "NPM_CONFIG_", "SSL_")
_TOKENS: Final = ("_PASSWORD", "_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Slot:
    """One place of one server, and what fills it.

    Raises:
        BadSlotError: On making one that rules 1 and 2 don't allow.
    """

    kind: str
    """`environment`, `header`, `query`, `argument` or `oauth`; of no server: `admin`, `kept`."""
    name: str
    tool: str = ""
    """For an argument: the server's own name of the tool."""
    source: Source | None = None
    """What fills it; None where a sealed value does."""

    def __post_init__(self) -> None:
        """Require rules 1 and 2."""
        pattern = _NAMES.get(self.kind)
        if pattern is None:
            raise BadSlotError(f"`{shown(self.kind)}` is no kind of slot")
        if pattern.fullmatch(self.name) is None or bool(self.tool) != (self.kind == "argument"):
            raise BadSlotError(f"`{shown(self.text)}` is no slot")  # 1
        if self.tool and self.tool not in METHOD_NAMES:
            parse_own_name(self.tool)
        if self.tool in METHOD_NAMES:
            raise BadSlotError(f"`{shown(self.tool)}` is no tool of a server")
        if self.kind == "environment" and _decides(self.name):
            raise BadSlotError(
                f"the variable `{self.name}` decides what runs, and is no place for a secret"
            )  # 2
        if self.source is not None and self.kind not in _MINTED:
            raise BadSlotError(f"`{shown(self.place)}` is filled by no credential")
        if self.source is not None and self.source.scheme and self.kind != "header":
            raise BadSlotError(f"a scheme stands in a header, and `{shown(self.place)}` is none")

    @property
    def place(self) -> str:
        """Where it is, whatever fills it: no server has two slots in one place."""
        return f"{self.kind}:{self.tool}/{self.name}" if self.tool else f"{self.kind}:{self.name}"

    @property
    def text(self) -> str:
        """The one way to write it."""
        return self.place if self.source is None else f"{self.place}={self.source.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a value is sealed for (rule 4)."""

    namespace: str
    server: str
    """Its name."""
    identity: str
    """Digest of its identity: what was sealed for one program is opened for no other."""
    slot: str
    number: int
    """1 for the first value of the slot."""


SECRET_SLOT: Final = Slot(kind="oauth", name="client-secret")
KEY_SLOT: Final = Slot(kind="oauth", name="private-key")
ADMIN_SLOT: Final = Slot(kind="admin", name="access")
"""Of a target; a server that declares it is refused (`identity`)."""


def _decides(name: str) -> bool:
    """Whether a variable of this name decides what runs or who is spoken to (rule 2)."""
    if name in _CODE or name.startswith(_CODE_PREFIXES):
        return True
    either = name.upper()
    if either.endswith("_PROXY"):
        return True
    token = either.endswith(_TOKENS) and not either.startswith(_CONFIGURED)
    return either.startswith(_TOOLS) and not token


def parse_slot(text: str) -> Slot:
    """The slot that a text names.

    Raises:
        BadSlotError: It names none (rules 1 and 2).
        MalformedError: Its source can't be one.
    """
    place, mark, words = text.partition("=")
    source = parse_source(words) if mark else None
    kind, _, rest = place.partition(":")
    if kind == "argument":
        tool, mark, name = rest.rpartition("/")
        if not mark:
            raise BadSlotError(f"`{shown(text)}` names no tool", remedy="write `argument:TOOL/NAME`")
        return Slot(kind=kind, name=name, tool=tool, source=source)
    return Slot(kind=kind, name=rest.lower() if kind == "header" else rest, source=source)


def stand_ins(slots: Iterable[Slot]) -> dict[Slot, str]:
    """What is in the slots that credentials fill, while a person looks at the server (`source`, rule 5)."""
    return {one: one.source.stand_in for one in slots if one.source is not None}


def require_secret(slot: Slot, value: str) -> None:
    """Go on only with a value that can stand in the slot (rule 3); the value is in no error.

    Raises:
        BadSecretError: It can't.
    """
    size = len(value.encode("utf-8", "surrogatepass"))
    if not MIN_SECRET <= size <= MAX_SECRET:
        raise BadSecretError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes, and this one has {size}")
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise BadSecretError("the secret holds what is no text")
    if slot.kind in _LINES and _HEADER.fullmatch(value) is None:
        raise BadSecretError("the secret can't stand in a header: it is not printable ASCII on one line")
