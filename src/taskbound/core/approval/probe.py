"""Probes and checks: declarations of what is read behind arguments, and the operands found there.

Approvers sign the operands, so a changed file or reference is another question. Each declaration has one
text form, and each argument has one probe.

`probe`: `ARGUMENT=KIND:…`, a text or a list of texts (a row key may be an integer): `file:FOLDER`, a path
beneath the folder; `revision:REPOSITORY`, a ref of that git repository; `revision:OTHER:FOLDER`, argument
OTHER holds the repository's path beneath the folder; `row:PLACE`, a row key; `etag:BASE`, a page beneath
the URL; `answer:TOOL#OTHER`, the tool is called with the value as OTHER. Only look-ups on the local disk
run in the deciding process. The gateway makes the calls of `answer` as calls with decisions of their own.

`answer`: a stored declaration ends with `@DIGEST`, the digest of the definition that a person saw. The
SHA-256 of the canonical `content` and `structuredContent` is compared; `_meta` is ignored. A reading
call's request id is an array of a word, the held call's id and a number, which no client can send, so the
audit record links both.

`check`: `SECONDS:ARGUMENT=row:PLACE`. If the row with this key is missing SECONDS after the last attempt
was lost, the call had no effect. SECONDS is at least a permit's lifetime, before which a missing row
proves nothing, and at most a day. All checks must find nothing; one finding proves the effect; one
unreadable check proves nothing.

`row`:

1. `sqlite:/FILE?table=T&key=K`, `postgresql:SERVICE?schema=S&table=T&key=K` or
   `postgresql:/FOLDER?database=D&schema=S&table=T&key=K` (optional `port=` before and `user=` after the
   database); each may end with `&version=V`, otherwise the hash of the whole row is its version.
2. Characters other than letters, digits and `_.~-` are percent-encoded.
3. A place holds no secret: libpq reads passwords from the files of the calling account.
4. Names of tables and columns have at most 63 bytes: PostgreSQL truncates longer ones and would read
   another.

`page`:

1. A base is `https://HOST/PATH/` or `http://HOST/PATH/`, without user, query, fragment or default port.
2. An argument is parsed like the constraint `url`, which refuses what parsers read differently.
3. Scheme, host, port and the beginning of the path equal the base. The base itself and fragments are
   refused.
4. A first segment with a colon is refused because it could be read as a scheme.
"""

from __future__ import annotations

import posixpath
import re
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import (
    BadProbeError,
    OperandOutsideError,
    OperandUnreadableError,
    UnreadableQuestionError,
)
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.host import is_name, read_address
from taskbound.core.scope.constraints.url import PORTS, ReadUrl, read_url
from taskbound.core.tool import parse_tool_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.errors import DeniedError


class ProbeKind(Enum):
    """How the thing behind an argument is read."""

    FILE = "file"
    REVISION = "revision"
    """The object that a ref of a git repository names: a commit, or a tag that names its commit for good."""
    ROW = "row"
    """The version of a table row, or its absence."""
    ETAG = "etag"
    """The strong ETag of a page."""
    ANSWER = "answer"
    """The digest of what a reading tool answers, and whose word that is."""


NO_ROW: Final = "no such row"
"""The version of a row that is not there; no other reads so, since each begins with its type."""
FINDINGS: Final[Mapping[ProbeKind, frozenset[str]]] = MappingProxyType(
    {
        ProbeKind.FILE: frozenset({"path", "device", "inode", "size", "sha256"}),
        ProbeKind.REVISION: frozenset({"object", "path", "ref"}),
        ProbeKind.ROW: frozenset({"row", "table", "key", "version"}),
        ProbeKind.ETAG: frozenset({"page", "etag"}),
        ProbeKind.ANSWER: frozenset({"tool", "arguments", "sha256", "by"}),
    }
)
"""What each kind of probe says (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """What a probe found behind one argument."""

    place: str
    """JSON Pointer of the argument."""
    kind: ProbeKind
    found: tuple[tuple[str, str], ...]
    """Name and value, by name in order."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.found]
        if names != sorted(FINDINGS[self.kind]):
            raise UnreadableQuestionError(
                f"a probe of kind `{self.kind.value}` says {', '.join(sorted(FINDINGS[self.kind]))}",
                where=self.place,
            )

    def value(self) -> dict[str, JsonValue]:
        return {"found": dict(self.found), "kind": self.kind.value, "place": self.place}


def parse_operand(value: JsonValue) -> Operand:
    match value:
        case {"found": dict() as found, "kind": str() as kind, "place": str() as place, **more} if not more:
            pairs = tuple((name, said) for name, said in sorted(found.items()) if isinstance(said, str))
            if kind in {one.value for one in ProbeKind} and len(pairs) == len(found):
                return Operand(place=place, kind=ProbeKind(kind), found=pairs)
    raise UnreadableQuestionError("an operand can't be read")


def differing(before: Iterable[Operand], now: Iterable[Operand]) -> str:
    """Describes in words which operands changed since the question; empty if none did."""
    then, after = ({one.place: one for one in some} for some in (before, now))
    for place in sorted(then.keys() | after.keys()):
        old, new = then.get(place), after.get(place)
        if old is None or new is None or old.kind is not new.kind:
            return f"`{place}` is looked at in another way"
        for (name, was), (_, found) in zip(old.found, new.found, strict=True):
            if was != found:
                return f"the {name} behind `{place}`"
    return ""


WITNESS: Final = "the gateway, which runs under the agent's account: it shows change and proves nothing"
"""Whose word an answer is, as people read and sign it."""
_LONGEST_VALUE: Final = 1_000
_WHERE: Final = re.compile(r"([^#@]+)#([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})(?:@([0-9a-f]{64}))?")
_COMPARED: Final = ("content", "structuredContent")
_MARK: Final = re.compile(r'\["read",(.+),[0-9]+\]', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingTool:
    """A tool that is called to read, and its argument."""

    tool: str
    argument: str
    definition: str = ""
    """Digest of its definition when it was declared; empty as long as a person writes it."""

    @property
    def text(self) -> str:
        return f"{self.tool}#{self.argument}" + (f"@{self.definition}" if self.definition else "")

    def arguments(self, value: JsonValue, place: str) -> str:
        number = isinstance(value, int) and not isinstance(value, bool)
        if not number and not (isinstance(value, str) and value and len(value) <= _LONGEST_VALUE):
            raise OperandUnreadableError(f"argument `{place}` is nothing that can be read by", where=place)
        return canonical({self.argument: value}).decode()


def parse_reading(where: str) -> ReadingTool:
    found = _WHERE.fullmatch(where)
    if found is None:
        raise BadProbeError("an answer is one of a tool that reads: `answer:SERVER__TOOL#ARGUMENT`")
    tool, argument, definition = found.groups(default="")
    try:
        parse_tool_name(tool)
    except MalformedError as error:
        raise BadProbeError(f"an answer is one of a tool that reads: {error.message}") from error
    return ReadingTool(tool=tool, argument=argument, definition=definition)


def digest_of(result: bytes) -> str:
    """The compared digest of a result, in lowercase hex; raises MalformedError for bad JSON."""
    value = parse_object(result)
    return sha256(canonical({name: value[name] for name in _COMPARED if name in value})).hexdigest()


def read_for(request: str) -> str:
    """The request id of the call that this reading call serves; empty for any other request."""
    found = _MARK.fullmatch(request)
    return found.group(1) if found is not None else ""


def is_folder(path: str) -> bool:
    """True for an absolute, normalized, printable path."""
    plain = posixpath.normpath(path) == path and path.startswith("/") and not path.startswith("//")
    return plain and path.isprintable()


_SCHEMES: Final = ("https", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoot:
    """The base URL of a page probe."""

    scheme: str
    host: str
    """A name, or an address; IPv6 without brackets."""
    port: int
    path: str

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    @property
    def text(self) -> str:
        return f"{self.origin}{self.path}"

    @property
    def is_address(self) -> bool:
        return read_address(self.host) is not None

    def page(self, value: str) -> str:
        """The URL that an argument names; raises if parsers disagree about it or it is outside the base."""
        whole = value
        if "://" not in value:
            if ":" in value.partition("/")[0]:
                raise OperandUnreadableError("it begins as a scheme would")  # 4
            whole = f"{self.origin}{value}" if value.startswith("/") else f"{self.text}{value}"
        url = read_url(whole)
        if not isinstance(url, ReadUrl):
            raise OperandUnreadableError(f"it {url.reason}")  # 2
        if "#" in whole:
            raise OperandUnreadableError("it has a fragment, which no server sees")  # 3
        own = (self.scheme, self.host, self.port)
        if (
            (url.scheme, url.host, url.port) != own
            or not url.path.startswith(self.path)
            or url.path == self.path
        ):
            raise OperandOutsideError(f"it is not beneath `{self.text}`")  # 3
        _, _, query = whole.partition("?")
        return f"{self.origin}{url.path}" + (f"?{query}" if query else "")


def parse_root(text: str) -> PageRoot:
    url = read_url(text)
    if not isinstance(url, ReadUrl) or url.scheme not in _SCHEMES or not url.path.endswith("/"):
        raise BadProbeError("pages are beneath `https://HOST/PATH/`, with a slash at its end")
    base = PageRoot(scheme=url.scheme, host=url.host, port=url.port, path=url.path)
    address = read_address(url.host)
    if not is_name(url.host) and (address is None or str(address) != url.host):
        raise BadProbeError("pages are at a host's name, or at an address in its one shortest form")
    if base.text != text:
        raise BadProbeError(f"there is one way to write what pages are beneath: `{base.text}`")
    return base


SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
_PARTS: Final = ("port", "database", "user", "schema", "table", "key", "version")
"""In the order in which they are written (rule 2)."""
_ALWAYS: Final = frozenset({"table", "key"})
_WANTED: Final = {
    "sqlite": (_ALWAYS, frozenset({"version"})),
    "service": (_ALWAYS | {"schema"}, frozenset({"version"})),
    "socket": (_ALWAYS | {"schema", "database"}, frozenset({"port", "user", "version"})),
}
"""By the kind of place: what has to be said, and what may be."""
_SERVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LONGEST_NAME: Final = 63
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]")
_WRITTEN: Final = re.compile(r"(?:[A-Za-z0-9_.~/-]|%[0-9A-F]{2})+")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlace:
    """A table and the columns that find a row in it."""

    engine: str
    """`sqlite` or `postgresql`."""
    path: str = ""
    """SQLite's file, or the folder of PostgreSQL's socket."""
    service: str = ""
    """The name of a service of libpq's, where no socket is said."""
    port: str = ""
    """Empty: libpq's own."""
    database: str = ""
    user: str = ""
    """Empty: the account's own name."""
    schema: str = ""
    table: str
    key: str
    """The column that holds what the argument says."""
    version: str = ""
    """The column that changes with the row; empty: the whole row."""

    @property
    def text(self) -> str:
        said = [f"{name}={_escape(value)}" for name in _PARTS if (value := getattr(self, name))]
        where = "/".join(map(_escape, self.path.split("/"))) if self.path else self.service
        return f"{self.engine}:{where}?{'&'.join(said)}"


def parse_row(text: str) -> RowPlace:
    engine, _, rest = text.partition(":")
    where, _, query = rest.partition("?")
    if engine not in {SQLITE, POSTGRESQL}:
        raise BadProbeError(f"a row is in `{SQLITE}` or in `{POSTGRESQL}`")
    said: dict[str, str] = {}
    for one in query.split("&"):
        name, _, value = one.partition("=")
        if name in said or name not in _PARTS:
            raise BadProbeError(f"a row's place says nothing named `{name}`, or says it twice")
        said[name] = _read(value)
    path = _read(where) if where.startswith("/") else ""
    kind = SQLITE if engine == SQLITE else "socket" if path else "service"
    must, may = _WANTED[kind]
    if not must <= said.keys() <= must | may:
        listed = ", ".join(f"`{name}`" for name in _PARTS if name in must)
        raise BadProbeError(f"a row's place of this kind says {listed}, and no more than may be said")
    if path and not is_folder(path):
        raise BadProbeError("a path is absolute, and without `.`, `..` or `//`")
    if not path and (kind == SQLITE or _SERVICE.fullmatch(where) is None):
        raise BadProbeError("a row is in a file that is named by its path, or in a service of libpq's")
    if "port" in said and _PORT.fullmatch(said["port"]) is None:
        raise BadProbeError("a port is a number")
    found = RowPlace(engine=engine, path=path, service="" if path else where, **said)
    if found.text != text:
        raise BadProbeError(f"there is one way to write a row's place: `{found.text}`")
    return found


def _read(text: str) -> str:
    if _WRITTEN.fullmatch(text) is None:
        raise BadProbeError(
            "a row's place says nothing, or holds what has to be written as `%` and two digits"
        )
    try:
        found = _ESCAPE.sub(lambda one: bytes.fromhex(one[1].decode()), text.encode()).decode()
    except UnicodeDecodeError as error:
        raise BadProbeError("a row's place holds an escape that is no UTF-8") from error
    if not found.isprintable():
        raise BadProbeError("a row's place holds what can't be printed")
    if "/" not in text and len(found.encode()) > _LONGEST_NAME:
        raise BadProbeError(f"a name has {_LONGEST_NAME} bytes at most")  # 4
    return found


def _escape(text: str) -> str:
    return "".join(
        one if _PLAIN.fullmatch(one) else "".join(f"%{byte:02X}" for byte in one.encode()) for one in text
    )


MOST_LOOKS: Final = 16
"""Things that are looked at for one call."""
_LONGEST: Final = 1_000
_DISK: Final = frozenset({ProbeKind.FILE, ProbeKind.REVISION})
_ELSEWHERE: Final[Mapping[str, Callable[[str], object]]] = {
    ProbeKind.ROW.value: parse_row,
    ProbeKind.ETAG.value: parse_root,
    ProbeKind.ANSWER.value: parse_reading,
}
"""What reads where it is that a probe looks, if it is not on the disk."""
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How the thing that one argument names is read."""

    argument: str
    kind: ProbeKind
    where: str
    """The folder beneath which it is, the repository, the row's place in words, the URL, or what reads it."""
    repository: str = ""
    """The argument that holds the repository's path."""

    @property
    def text(self) -> str:
        other = f"{self.repository}:" if self.repository else ""
        return f"{self.argument}={self.kind.value}:{other}{self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One look-up for one call."""

    place: str
    """JSON Pointer of the argument."""
    probe: Probe
    value: str
    directory: str
    """What a relative path starts from: where the server runs."""
    repository: str = ""
    """Path of the repository, where an argument holds it."""

    @property
    def is_near(self) -> bool:
        return self.probe.kind in _DISK

    @property
    def is_read(self) -> bool:
        """True if a tool must be called; `value` is then the argument object."""
        return self.probe.kind is ProbeKind.ANSWER


def parse_probe(text: str) -> Probe:
    argument, _, rest = text.partition("=")
    kind, _, where = rest.partition(":")
    if len(text) > _LONGEST or _ARGUMENT.fullmatch(argument) is None:
        raise BadProbeError("a probe begins with the name of an argument")
    repository = ""
    if kind == ProbeKind.REVISION.value and not where.startswith("/"):
        repository, _, where = where.partition(":")
        if _ARGUMENT.fullmatch(repository) is None:
            raise BadProbeError(f"`{argument}`: a revision is one of a repository")
    elif kind in _ELSEWHERE:
        _ELSEWHERE[kind](where)
        return Probe(argument=argument, kind=ProbeKind(kind), where=where)
    elif kind not in {one.value for one in _DISK}:
        raise BadProbeError(f"`{argument}` is looked at in no way that there is")
    if not is_folder(where):
        raise BadProbeError(f"`{argument}`: a folder is an absolute path without `.`, `..` or `//`")
    return Probe(argument=argument, kind=ProbeKind(kind), where=where, repository=repository)


def parse_probes(texts: Iterable[str]) -> tuple[Probe, ...]:
    found = sorted((parse_probe(one) for one in texts), key=lambda one: one.argument)
    if len({one.argument for one in found}) != len(found):
        raise BadProbeError("two probes are about one argument")  # 4
    if len(found) > MOST_LOOKS:
        raise BadProbeError(f"a tool has {MOST_LOOKS} probes at most")
    return tuple(found)


def looks_of(
    probes: Iterable[Probe],
    arguments: Mapping[str, JsonValue],
    defaults: Mapping[str, JsonValue],
    *,
    directory: str,
) -> tuple[Lookup, ...]:
    found: list[Lookup] = []
    for probe in probes:
        repository = ""
        if probe.repository:
            repository = _text(_value(probe.repository, arguments, defaults), _pointer(probe.repository))
        value = _value(probe.argument, arguments, defaults)
        place = _pointer(probe.argument)
        items = [(f"{place}/{at}", one) for at, one in enumerate(value)] if isinstance(value, list) else []
        for where, one in items or [(place, value)]:
            found.append(
                Lookup(
                    place=where,
                    probe=probe,
                    value=_named(probe, one, where),
                    directory=directory,
                    repository=repository,
                )
            )
    if len(found) > MOST_LOOKS:
        raise OperandUnreadableError(f"it names more than {MOST_LOOKS} things that would be looked at")
    return tuple(found)


def _value(name: str, arguments: Mapping[str, JsonValue], defaults: Mapping[str, JsonValue]) -> JsonValue:
    if name in arguments:
        return arguments[name]
    if name in defaults:
        return defaults[name]
    raise OperandUnreadableError(
        f"argument `{name}` is not there, and is what would be looked at", where=_pointer(name)
    )


def _text(value: JsonValue, place: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise OperandUnreadableError(f"argument `{place}` is no text that names something", where=place)


def _named(probe: Probe, value: JsonValue, place: str) -> str:
    match probe.kind:
        case ProbeKind.ROW:
            return _key(value, place)
        case ProbeKind.ANSWER:
            return parse_reading(probe.where).arguments(value, place)
        case ProbeKind.ETAG:
            try:
                return parse_root(probe.where).page(_text(value, place))
            except (OperandOutsideError, OperandUnreadableError) as error:
                message = f"what `{place}` names can't be asked about: {error.message}"
                raise type(error)(message, where=place) from error
        case _:
            return _text(value, place)


def _key(value: JsonValue, place: str) -> str:
    key = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value, place)
    if "\x00" in key or len(key) > _LONGEST:
        raise OperandUnreadableError(f"argument `{place}` is no key that a row has", where=place)
    return key


def _pointer(argument: str) -> str:
    return f"/{argument}"  # a declared name holds neither `~` nor `/`


_CHECK: Final = re.compile(r"([1-9][0-9]{0,5}):(.+)", re.DOTALL)
_LEAST: Final = 30
_MOST: Final = 86_400


class Shown(Enum):
    """What the checks show about an effect, as policies read it."""

    NOTHING = ""
    """Nothing was to be looked at."""
    ABSENT = "absent"
    PRESENT = "present"
    UNSETTLED = "unsettled"
    """An attempt may still have its effect."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What proves the effect of a call, and after how many seconds."""

    seconds: int
    probe: Probe

    @property
    def text(self) -> str:
        return f"{self.seconds}:{self.probe.text}"


def parse_checks(texts: Iterable[str]) -> tuple[Check, ...]:
    seconds: dict[str, int] = {}
    for text in texts:
        found = _CHECK.fullmatch(text)
        if found is None or not _LEAST <= int(found[1]) <= _MOST:
            raise BadProbeError(f"a check begins with {_LEAST} to {_MOST} seconds, and a colon")
        if found[2] in seconds:
            raise BadProbeError("two checks are about one argument")
        seconds[found[2]] = int(found[1])
    probes = parse_probes(seconds)
    if any(one.kind is not ProbeKind.ROW for one in probes):
        raise BadProbeError("only a row shows by its absence that there was no effect")
    return tuple(Check(seconds=seconds[one.text], probe=one) for one in probes)


def settled_at(checks: Iterable[Check], lost: Instant) -> Instant:
    """The instant from which a missing row proves that there was no effect."""
    return Instant(lost + max(one.seconds for one in checks) * 1_000_000)


def shown_by(found: Iterable[Operand | DeniedError]) -> Shown:
    some = tuple(found)
    if not some or not all(isinstance(one, Operand) for one in some):
        return Shown.UNREADABLE
    versions = {dict(one.found)["version"] for one in some if isinstance(one, Operand)}
    return Shown.ABSENT if versions == {NO_ROW} else Shown.PRESENT
