"""The constraint ``url``: URLs that every reader takes apart alike, by scheme, host, port and path.

Only a part of what the WHATWG standard reads is taken; tests hold it against a parser of that standard.

1. ``scheme://host``, a port, a path, a query, a fragment, in this order, in ASCII without spaces and
   controls. After the host or port comes a slash or nothing, so that no ``?``, ``#`` or backslash
   stands where readers quarrel.
2. No user or password. The host is read as ``host`` reads it; an IPv6 address stands in brackets.
3. A port has no leading zeros. Without one it is the scheme's own.
4. A path has no ``.`` or ``..`` segment, none that begins with two dots or with a dot and a ``;``, no
   empty one but the last, and no escape of a dot, slash, backslash, control or percent sign; its escapes are
   UTF-8, and make no slash or dots by Unicode NFKC.
5. ``path`` is a path at or below which the URL's lies, compared as it is written, segment by segment.
   The query and the fragment may be anything: what must not leave can leave there.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, ClassVar, Final
from unicodedata import normalize

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.address import read_address
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import TEXTS, Form
from taskbound.core.scope.constraints.host import Hosts, read_hosts
from taskbound.core.scope.show import show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


PORTS: Final = {"ftp": 21, "http": 80, "https": 443, "ws": 80, "wss": 443}
_MAX_URL: Final = 8192
_MAX_PORT: Final = 65_535
_MAX_PORTS: Final = 64

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]{2,5})://"
    r"(?:\[(?P<six>[0-9a-f:]{2,39})\]|(?P<host>[A-Za-z0-9.-]{1,253}))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?(path)(?:\?(?:[A-Za-z0-9._~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:\#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)"
)
_ODD_PATH: Final = re.compile(r"/\.(?:\.|;|/|$)|//|%(?:[01][0-9a-f]|2[ef5]|5c|7f)", re.IGNORECASE)
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")

_NOT_URL = Unmet(code="not-a-url", reason="is not a URL that all read alike")
_ODD = Unmet(code="url-odd-path", reason="has a path that some read as another")
_SCHEME = Unmet(code="scheme-not-granted", reason="has a scheme that is not granted")
_PORT = Unmet(code="port-not-granted", reason="has a port that is not granted")
_PATH = Unmet(code="path-outside", reason="has a path that is not at or below the one that is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadUrl:
    """A URL, taken apart."""

    scheme: str
    host: str
    """As it is written in small letters; an IPv6 address without brackets."""
    port: int
    path: str


def read_url(text: str) -> ReadUrl | Unmet:
    """The parts of a URL, or why readers may not agree on them."""
    found = _URL.fullmatch(text) if len(text) <= _MAX_URL else None
    if found is None:
        return _NOT_URL
    scheme = found["scheme"].lower()
    if scheme not in PORTS:
        return _SCHEME
    port = int(found["port"] or PORTS[scheme])
    path = found["path"] or "/"
    if port > _MAX_PORT:
        return _NOT_URL
    if _ODD_PATH.search(path) or ("%" in path and _is_look_alike(path)):  # rule 4
        return _ODD
    six = found["six"]
    if six is not None and not isinstance(read_address(six), IPv6Address):  # rule 2: `[cafe]` is no name
        return _NOT_URL
    return ReadUrl(scheme=scheme, host=six or found["host"].lower(), port=port, path=path)


def _is_look_alike(path: str) -> bool:
    """Whether the escapes are no UTF-8, or make slashes and dots for those who fold."""
    try:
        text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), path.encode()).decode()
    except UnicodeDecodeError:
        return True
    plain = normalize("NFKC", text)
    return plain.count("/") != path.count("/") or "\\" in plain or _ODD_PATH.search(plain) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Url(Constraint):
    """``{"url": {"names": ["api.example.com"], "path": "/v1"}}``; ``schemes``, ``ip``, ``ports`` besides."""

    tag: ClassVar[str] = "url"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "A URL: hosts by `names` and `ip`, https if no `schemes`, at or below `path`.",
        "type": "object",
        "properties": {
            "schemes": {"type": "array", "items": {"enum": [*sorted(PORTS)]}, "minItems": 1},
            "names": TEXTS,
            "ip": TEXTS,
            "ports": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": _MAX_PORT},
                "minItems": 1,
            },
            "path": {"type": "string", "pattern": "^/"},
        },
        "additionalProperties": False,
    }
    schemes: tuple[str, ...]
    hosts: Hosts
    ports: tuple[int, ...]
    """Empty: the scheme's own, whichever it is."""
    path: str
    """``/`` is every path."""

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Url:
        """The constraint; without ``schemes`` it is https, without ``ports`` the scheme's own."""
        members = place.read_object(body, allowed=("schemes", "names", "ip", "ports", "path"))
        hosts = read_hosts(members.get("names", []), members.get("ip", []), place)
        schemes = _read_schemes(members.get("schemes", ["https"]), place.member("schemes"))
        ports = _read_ports(members["ports"], place.member("ports")) if "ports" in members else ()
        path = place.member("path").read_text(members.get("path", "/"))
        read = read_url(f"https://a.example{path}")
        if isinstance(read, Unmet) or read.path != path or (path != "/" and path.endswith("/")):
            raise place.member("path").fault("must be a path such as /v1/files, without a slash at its end")
        return cls(schemes=schemes, hosts=hosts, ports=ports, path=path)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a URL all of whose parts are granted."""
        url = read_url(value) if isinstance(value, str) else _NOT_URL
        if isinstance(url, Unmet):
            return url
        if url.scheme not in self.schemes:
            return _SCHEME
        verdict = self.hosts.judge(url.host)
        if isinstance(verdict, Unmet):
            return verdict
        if url.port not in (self.ports or (PORTS[url.scheme],)):
            return _PORT
        return MET if _is_below(url.path, self.path) else _PATH

    def describe(self, name: str) -> str:
        """The words."""
        ports = f", port {' or '.join(map(str, self.ports))}" if self.ports else ""
        path = f", path at or below `{show(self.path, name)}`" if self.path != "/" else ""
        return f"a URL with {' or '.join(self.schemes)} to {self.hosts.words(name)}{ports}{path}"

    def value(self) -> JsonValue:
        """The body; what is default is left out."""
        body = self.hosts.body()
        if self.schemes != ("https",):
            body["schemes"] = list(self.schemes)
        if self.ports:
            body["ports"] = list(self.ports)
        if self.path != "/":
            body["path"] = self.path
        return body

    def known_within(self, other: Constraint) -> Containment:
        """URLs are within URLs all of whose parts are."""
        if not isinstance(other, Url):
            return NotContained(reason="URLs are only within URLs")
        if not set(self.schemes) <= set(other.schemes):
            return NotContained(reason="it has a scheme that the other doesn't")
        if not self.pairs() <= other.pairs():
            return NotContained(reason="it has a port that the other doesn't")
        if not _is_below(self.path, other.path):
            return NotContained(reason="its path is not at or below the other's")
        return self.hosts.within(other.hosts)

    def known_excludes(self, other: Constraint) -> Exclusion:
        """URLs one part of which can't be the same."""
        if not isinstance(other, Url):
            return NOT_EXCLUDED
        paths = _is_below(self.path, other.path) or _is_below(other.path, self.path)
        meet = self.hosts.meets(other.hosts) and bool(self.pairs() & other.pairs()) and paths
        return NOT_EXCLUDED if meet else EXCLUDED

    def pairs(self) -> set[tuple[str, int]]:
        """Each scheme with each port that it may have."""
        return {(scheme, port) for scheme in self.schemes for port in self.ports or (PORTS[scheme],)}


def _is_below(path: str, outer: str) -> bool:
    return outer in ("/", path) or path.startswith(f"{outer}/")


def _read_schemes(body: JsonValue, place: Place) -> tuple[str, ...]:
    found: set[str] = set()
    for index, item in enumerate(place.read_list(body, most=len(PORTS))):
        text = place.item(index).read_text(item)
        if text not in PORTS or text in found:
            raise place.item(index).fault(f"must be one of {', '.join(sorted(PORTS))}, each once")
        found.add(text)
    if not found:
        raise place.fault("must not be empty: it would permit nothing")
    return tuple(sorted(found))


def _read_ports(body: JsonValue, place: Place) -> tuple[int, ...]:
    items = place.read_list(body, most=_MAX_PORTS)
    if not items:
        raise place.fault("must not be empty: it would permit nothing")
    found = [
        place.item(index).read_integer(item, least=1, most=_MAX_PORT) for index, item in enumerate(items)
    ]
    if len(set(found)) < len(found):
        raise place.fault("names a port a second time")
    return tuple(sorted(found))
