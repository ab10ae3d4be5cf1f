"""Which server a tool belongs to: what is started, with what, and the one digest of it.

Rules:

1. The digest is the SHA-256 of the canonical object of version, kind, namespace and
   everything that decides what runs: transport, command and where its links lead, hash of
   the binary, further pinned files and their hashes, arguments, declared variables with
   their values, directory, lock, and limits where there are any. Any other start is another digest (A170).
2. The server's name, its era and whether it may be shared are not part of it: they say
   how it is spoken to, not what it is.
3. What is pinned is written out: paths are absolute, hashes are SHA-256 in lower case,
   variables have sorted, distinct, portable names.
4. A server that is reached by a URL has no command and nothing that belongs to one. Its digest is that of
   version, kind, namespace, transport and all that decides which server is spoken to, and how (`remote`).
5. The slots of its secrets are part of the digest, and their values are not (`slot`). They are sorted and
   distinct, at most `MAX_SLOTS`, of kinds that this server has, and in nobody else's place: no declared
   variable, header or parameter has the name of one, and no two have one place. What fills one in place of a
   sealed value is part of it, too (`source`). Without slots a digest is what it was before there were any.
6. A server that is reached may be one that wants tokens: then the client that it is reached as is in the
   digest (`oauth.client`), what that client proves itself with has the one slot of its kind, and the header
   that tokens go in is taken.
"""

from __future__ import annotations

import re
from dataclasses import field
from hashlib import sha256
from itertools import pairwise, starmap
from operator import ge
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadServerError, BadSlotError
from taskbound.core.tool.limits import require_limits
from taskbound.core.tool.name import shown
from taskbound.core.tool.slot import MAX_SLOTS

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.limits import Limit
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.remote import Remote
    from taskbound.core.tool.slot import Slot


IDENTITY_VERSION: Final = 1
"""The version of what stands in an identity's digest."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_TEXT: Final = 131_072
_MAX_PARTS: Final = 1_000
# With these the loader or a shell runs something beside the pinned program.
_LOADERS: Final = frozenset({"BASH_ENV", "DYLD_INSERT_LIBRARIES", "LD_AUDIT", "LD_PRELOAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """One file that a start depends on, by content."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        """Require an absolute path and a hash (rule 3)."""
        _require_path(self.path, "a pinned file")
        _require_hash(self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """One way to start or to reach one server; two of one digest are one server.

    Raises:
        BadServerError: On making one that rules 3 and 4 do not allow.
    """

    namespace: str
    command: str = ""
    """Absolute path as it is called: what the program sees as its own name."""
    resolved: str = ""
    """Absolute path of the file that this is once every link is followed."""
    sha256: str = ""
    """Of the resolved file's bytes."""
    files: tuple[PinnedFile, ...] = ()
    """An interpreter and the script that it runs, by path."""
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    directory: str = "/"
    lock: str = ""
    """For a runner: the exact package and version, and how far that goes."""
    limits: tuple[Limit, ...] = ()
    """What it may use of the machine, as it was declared (`limits`)."""
    remote: Remote | None = None
    """Where the server is, when nothing is started here (rule 4)."""
    slots: tuple[Slot, ...] = ()
    """Where its secrets go (rule 5)."""
    oauth: OAuthClient | None = None
    """Whom it is reached as, when it wants tokens (rule 6)."""
    digest: str = field(init=False)
    """Rule 1: 64 lowercase hexadecimal digits."""

    def __post_init__(self) -> None:
        """Require rules 3 and 4, and compute the digest once."""
        if self.remote is not None:
            self._require_nothing_started()
        else:
            self._require_program()
        self._require_slots()
        self._require_client()
        object.__setattr__(self, "digest", sha256(canonical(self._value())).hexdigest())

    def _require_program(self) -> None:
        """Go on only with what can be started (rule 3)."""
        _require_path(self.command, "the command")
        _require_path(self.resolved, "the resolved command")
        _require_path(self.directory, "the directory")
        _require_hash(self.sha256)
        _require_texts((*self.arguments, self.lock, self.namespace))
        _require_variables(self.environment)
        require_limits(self.limits)
        _require_sorted([one.path for one in self.files], "pinned files")

    def _require_nothing_started(self) -> None:
        """Go on only with a URL and nothing of a command (rule 4)."""
        started = (self.command, self.resolved, self.sha256, self.files, self.arguments, self.environment)
        if any(started) or self.lock or self.limits or self.directory != "/":
            raise BadServerError("a server has either a command or a URL")

    def _require_slots(self) -> None:
        """Go on only with slots that this server has room for (rule 5)."""
        _require_sorted([one.text for one in self.slots], "slots")
        if len(self.slots) > MAX_SLOTS:
            raise BadSlotError(f"a server has at most {MAX_SLOTS} slots")
        kinds = {"argument", *(("environment",) if self.remote is None else ("header", "query", "oauth"))}
        places = [one.place for one in self.slots]
        if len(places) != len(set(places)):
            raise BadSlotError("two slots of the server have one place")
        declared = dict(self.environment)
        for one in self.slots:
            if one.kind not in kinds:
                raise BadSlotError(f"`{one.place}` is no slot of a server that is {self._how}")
            if one.kind == "environment" and one.name in declared:
                raise BadSlotError(f"the variable `{one.name}` is declared with a value already")
        if self.remote is not None:
            self.remote.require_room(self.slots)

    def _require_client(self) -> None:
        """Go on only with a client that this server has use for (rule 6)."""
        wanted = [] if self.oauth is None else [self.oauth.slot]
        if [one for one in self.slots if one.kind == "oauth"] != wanted:
            raise BadSlotError("an OAuth client has one slot, its method's, and no other server has one")
        if self.oauth is not None and self.remote is None:
            raise BadServerError("only a server that is reached by a URL has an OAuth client")
        if self.oauth is not None and any(one.place == "header:authorization" for one in self.slots):
            raise BadSlotError("the place `header:authorization` is taken: tokens go there")

    @property
    def _how(self) -> str:
        return "started" if self.remote is None else "reached by a URL"

    def _value(self) -> dict[str, JsonValue]:
        slots: dict[str, JsonValue] = {"slots": [one.text for one in self.slots]} if self.slots else {}
        client: dict[str, JsonValue] = {"oauth": self.oauth.value()} if self.oauth is not None else {}
        return {**self._itself(), **slots, **client}

    def _itself(self) -> dict[str, JsonValue]:
        if self.remote is not None:
            return {
                **self.remote.value(),
                "kind": "server",
                "namespace": self.namespace,
                "transport": "http",
                "version": IDENTITY_VERSION,
            }
        return {
            "arguments": list(self.arguments),
            "command": self.command,
            "directory": self.directory,
            "environment": [[name, value] for name, value in self.environment],
            "files": [[one.path, one.sha256] for one in self.files],
            "kind": "server",
            **({"limits": [[name, much] for name, much in self.limits]} if self.limits else {}),
            "lock": self.lock,
            "namespace": self.namespace,
            "resolved": self.resolved,
            "sha256": self.sha256,
            "transport": "stdio",
            "version": IDENTITY_VERSION,
        }


def _require_path(path: str, what: str) -> None:
    if not path.startswith("/") or len(path) > _MAX_TEXT or "\0" in path or _is_loose(path):
        raise BadServerError(f"{what} `{shown(path)}` is not one absolute, plain path")


def _is_loose(path: str) -> bool:
    """Whether the path can be written more shortly, so that one file has two names here."""
    return path != "/" and any(part in {"", ".", ".."} for part in path[1:].split("/"))


def _require_hash(text: str) -> None:
    if _SHA256.fullmatch(text) is None:
        raise BadServerError(f"`{shown(text)}` is not a SHA-256 in lower-case hexadecimal")


def _require_texts(texts: tuple[str, ...]) -> None:
    if len(texts) > _MAX_PARTS or sum(map(len, texts)) > _MAX_TEXT:
        raise BadServerError("the arguments are too many or too long")
    for text in texts:
        if "\0" in text:
            raise BadServerError(f"`{shown(text)}` holds a zero byte")


def _require_variables(environment: tuple[tuple[str, str], ...]) -> None:
    for name, value in environment:
        if _VARIABLE.fullmatch(name) is None:
            raise BadServerError(f"`{shown(name)}` can't name a variable")
        if name in _LOADERS:
            raise BadServerError(f"the variable `{name}` makes the pinned program run something else")
        _require_texts((value,))
    _require_sorted([name for name, _ in environment], "variables")


def _require_sorted(names: list[str], what: str) -> None:
    if len(names) > _MAX_PARTS or any(starmap(ge, pairwise(names))):
        raise BadServerError(f"the {what} are not sorted and distinct")
