"""The pinned identity of a server: its program or URL, and its digest.

`identity`: The digest is the SHA-256 of a canonical object of everything that decides what runs:
namespace, transport, command and its resolved links, hashes of binary and pinned files, arguments,
variables, directory, lock and limits (A170). Name, era and sharing are not included: they do not decide
what runs. Paths are absolute, hashes SHA-256 in lowercase, variables sorted, distinct and portable. A
server with a URL has no command; its digest covers the URL and how it is contacted (`remote`). The digest
covers slots and their sources, not secret values. Slots are sorted, distinct, at most `MAX_SLOTS`, and
collide with no declared variable, header or parameter. Without slots the digest is unchanged. For a server
that wants tokens the digest covers the OAuth client (`oauth.client`); the client's secret has a slot and
the token header is reserved.

`remote`: A URL is parsed like the constraint `url` and refused if parsers disagree: http or https, no user
or fragment, one canonical form. http is only for loopback addresses and `localhost`. An address may be
any; a name must resolve to public addresses (`admits`), except `localhost`, so DNS cannot lead calls into
the local network. A person may allow private networks, never link-local, unspecified or multicast
addresses. Declared headers are sent with each request. Headers with meaning for HTTP, MCP or the gateway
are refused, as are headers and query parameters that suggest secrets (`core.tool.secret`), because pins
are displayed and stored. Secrets go into slots. For https a public key (SHA-256 of SubjectPublicKeyInfo,
RFC 7469) and a CA file can be pinned; both only narrow trust. Errors do not quote the user, query or
fragment of a URL, or a path that holds a secret.
"""

from __future__ import annotations

import re
from dataclasses import field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from itertools import pairwise, starmap
from operator import ge
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.host import is_name, is_public, read_address
from taskbound.core.scope.constraints.url import PORTS, ReadUrl, read_url
from taskbound.core.tool.errors import BadHeaderError, BadServerError, BadSlotError, BadUrlError
from taskbound.core.tool.name import require_limits, shown
from taskbound.core.tool.slot import MAX_SLOTS, is_secret_text, may_name_secret

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.name import Limit
    from taskbound.core.tool.oauth.client import OAuthClient
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
    """A file that a start depends on, with its hash."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        _require_path(self.path, "a pinned file")
        _require_hash(self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """One way to start or reach a server; making a bad one raises BadServerError."""

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
    """Where the server is, when nothing is started here."""
    slots: tuple[Slot, ...] = ()
    """Where its secrets go."""
    oauth: OAuthClient | None = None
    """Whom it is reached as, when it wants tokens."""
    digest: str = field(init=False)
    """Rule 1: 64 lowercase hexadecimal digits."""

    def __post_init__(self) -> None:
        if self.remote is not None:
            self._require_nothing_started()
        else:
            self._require_program()
        self._require_slots()
        self._require_client()
        object.__setattr__(self, "digest", sha256(canonical(self._value())).hexdigest())

    def _require_program(self) -> None:
        _require_path(self.command, "the command")
        _require_path(self.resolved, "the resolved command")
        _require_path(self.directory, "the directory")
        _require_hash(self.sha256)
        _require_texts((*self.arguments, self.lock, self.namespace))
        _require_variables(self.environment)
        require_limits(self.limits)
        _require_sorted([one.path for one in self.files], "pinned files")

    def _require_nothing_started(self) -> None:
        started = (self.command, self.resolved, self.sha256, self.files, self.arguments, self.environment)
        if any(started) or self.lock or self.limits or self.directory != "/":
            raise BadServerError("a server has either a command or a URL")

    def _require_slots(self) -> None:
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


LOCALHOST: Final = "localhost"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
_MAX_HEADERS: Final = 32


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAKEN: Final = _words(
    "accept accept-encoding connection content-encoding content-length content-type date expect host"
    " keep-alive last-event-id origin te trailer transfer-encoding upgrade user-agent via"
)
_TAKEN_PREFIXES: Final = ("mcp-", "proxy-", "sec-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A server with a URL; making a bad one raises BadUrlError, BadHeaderError or BadServerError."""

    url: str
    era: str
    """The revision of MCP that it is spoken to in."""
    headers: tuple[tuple[str, str], ...] = ()
    """Declared ones, by name in small letters, sorted."""
    key: str = ""
    """SHA-256 of its public key; empty when any key that is certified will do."""
    authorities: PinnedFile | None = None
    """The file with those who certify it; without one they are the system's."""
    read: ReadUrl = field(init=False, repr=False, compare=False)
    """The URL, taken apart."""

    def __post_init__(self) -> None:
        read = _read(self.url)
        if _written(read, self.url) != self.url:
            raise BadUrlError(f"there is one way to write this URL: `{_masked(_written(read, self.url))}`")
        _require_headers(self.headers)
        if self.key and _SHA256.fullmatch(self.key) is None:
            raise BadServerError(f"`{shown(self.key)}` is not a SHA-256 in lower-case hexadecimal")
        if read.scheme != "https" and (self.key or self.authorities is not None):
            raise BadServerError("only a server that is reached by https has a key and authorities")
        object.__setattr__(self, "read", read)

    @property
    def target(self) -> str:
        _, mark, query = self.url.partition("?")
        return f"{self.read.path}{mark}{query}"

    @property
    def authority(self) -> str:
        return self.url.split("/", 3)[2]

    @property
    def origin(self) -> str:
        return f"{self.read.scheme}://{self.authority}"

    def admits(self, address: str, *, private: bool = False) -> bool:
        """True if calls may go to this resolved address; `private` allows private networks."""
        found = ip_address(address)
        if private:
            plain = found.ipv4_mapped if isinstance(found, IPv6Address) and found.ipv4_mapped else found
            return not (
                plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain.is_reserved
            )
        if self.read.host == LOCALHOST:
            return found.is_loopback
        if read_address(self.read.host) is not None:
            return address == self.read.host
        return is_public(found)

    def require_room(self, slots: tuple[Slot, ...]) -> None:
        headers = {name for name, _ in self.headers}
        parameters = {part.partition("=")[0] for part in self.url.partition("?")[2].split("&")}
        for one in slots:
            taken = one.name in _TAKEN or one.name.startswith(_TAKEN_PREFIXES) or one.name in headers
            if (one.kind == "header" and taken) or (one.kind == "query" and one.name in parameters):
                raise BadSlotError(f"the place `{one.place}` is taken")

    def value(self) -> dict[str, JsonValue]:
        file = self.authorities
        return {
            "authorities": [file.path, file.sha256] if file is not None else [],
            "era": self.era,
            "headers": [[name, value] for name, value in self.headers],
            "key": self.key,
            "url": self.url,
        }


def canonical_url(text: str) -> str:
    return _written(_read(text), text)


def _read(text: str) -> ReadUrl:
    read = read_url(text)
    if not isinstance(read, ReadUrl):
        raise BadUrlError(f"`{_masked(text)}` {read.reason}")
    if read.scheme not in {"http", "https"}:
        raise BadUrlError(f"a server is reached by https, not by `{read.scheme}`")
    if "#" in text:
        raise BadUrlError("the URL has a fragment, which no server sees")
    address = read_address(read.host)
    if not is_name(read.host) and (address is None or str(address) != read.host):
        what = "neither a host's name nor an address in its one shortest form"
        raise BadUrlError(f"`{shown(read.host)}` is {what}")
    if address is not None and (address.is_unspecified or address.is_multicast):
        raise BadUrlError(f"`{shown(read.host)}` is no host's address")
    near = read.host == LOCALHOST or (address is not None and address.is_loopback)
    if read.scheme == "http" and not near:
        raise BadUrlError(f"`{shown(read.host)}` is not this machine, and is reached by https only")
    for parameter in text.partition("?")[2].split("&"):
        _require_no_secret(*parameter.partition("=")[::2], "the URL's parameter")
    return read


def _masked(text: str) -> str:
    plain = re.split(r"[?#]", text, maxsplit=1)[0]
    query = text[len(plain) :]
    scheme, mark, rest = plain.partition("://") if "://" in plain else ("", "", plain)
    _, at, rest = rest.rpartition("@")
    if "@" in query or is_secret_text(_PERCENT.sub(lambda one: chr(int(one[1], 16)), rest)):
        return f"{shown(scheme)}{mark}…"  # a password may hold what begins a query
    return shown(f"{scheme}{mark}{'…@' if at else ''}{rest}{f'{query[0]}…' if query else ''}")


def _written(read: ReadUrl, text: str) -> str:
    host = f"[{read.host}]" if ":" in read.host else read.host
    port = "" if read.port == PORTS[read.scheme] else f":{read.port}"
    _, mark, query = text.partition("?")
    return f"{read.scheme}://{host}{port}{read.path}{mark}{query}"


def _require_headers(headers: tuple[tuple[str, str], ...]) -> None:
    for name, value in headers:
        if _NAME.fullmatch(name) is None or name in _TAKEN or name.startswith(_TAKEN_PREFIXES):
            raise BadHeaderError(f"`{shown(name)}` is no header that can be declared")
        if _VALUE.fullmatch(value) is None:
            raise BadHeaderError(f"the header `{name}` holds what can't stand in a header")
        _require_no_secret(name, value, "the header")
    names = [name for name, _ in headers]
    if len(names) > _MAX_HEADERS or any(one >= other for one, other in pairwise(names)):
        raise BadHeaderError("the declared headers are too many, or not sorted and distinct")


def _require_no_secret(name: str, value: str, what: str) -> None:
    if may_name_secret(name) or is_secret_text(value):
        raise BadHeaderError(
            f"{what} `{shown(name)}` holds a secret, and what is pinned is stored and shown",
            remedy="leave it out, and give it a slot: `--secret header:NAME` or `--secret query:NAME`",
        )
