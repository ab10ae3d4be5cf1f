"""The constraints url and email.

Of `url`, a subset of the WHATWG URL standard, tested against a parser of it:

1. ``scheme://host``, then port, path, query and fragment, in ASCII without spaces and controls. Host or port
   is followed by a slash or nothing, because readers disagree on ``?``, ``#`` and backslash there.
2. No user or password. The host follows ``host``; an IPv6 address has brackets.
3. A port has no leading zeros; the default is the scheme's.
4. A path has no ``.`` or ``..`` segment, none that begins with two dots or a dot and ``;``, no empty segment
   but the last, and no escape of a dot, slash, backslash, control or percent sign. Its escapes are UTF-8 and
   make no slash or dot under NFKC.
5. ``path`` permits paths at or below it, compared segment by segment as written. Query and fragment are not
   constrained and can carry data out.

Of `email`: one address of a dot-atom (RFC 5322 §3.2.3), ``@`` and a host name, without display name,
comments, quotes, lists, literals or routes; at most 64 characters before the ``@`` and 254 in all. The local
part is compared exactly, the domain in lower case, without subdomains.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, ClassVar, Final
from unicodedata import normalize

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    TEXTS,
    Constraint,
    Form,
    Kind,
    NotContained,
)
from taskbound.core.scope.constraints.host import Hosts, is_name, read_address, read_hosts
from taskbound.core.scope.show import show
from taskbound.core.scope.values import MET, Mismatch, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


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

_NOT_URL = Mismatch(code="not-a-url", reason="is not a URL that all read alike")
_ODD = Mismatch(code="url-odd-path", reason="has a path that some read as another")
_SCHEME = Mismatch(code="scheme-not-granted", reason="has a scheme that is not granted")
_PORT = Mismatch(code="port-not-granted", reason="has a port that is not granted")
_PATH = Mismatch(code="path-outside", reason="has a path that is not at or below the one that is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadUrl:
    """The parts of a URL."""

    scheme: str
    host: str
    """As it is written in small letters; an IPv6 address without brackets."""
    port: int
    path: str


def read_url(text: str) -> ReadUrl | Mismatch:
    """Returns the parts of a URL, or why readers may disagree on them."""
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
    """Returns whether the escapes are not UTF-8, or become slashes or dots under NFKC."""
    try:
        text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), path.encode()).decode()
    except UnicodeDecodeError:
        return True
    plain = normalize("NFKC", text)
    return plain.count("/") != path.count("/") or "\\" in plain or _ODD_PATH.search(plain) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Url(Constraint):
    """``{"url": {"names": ["api.example.com"], "path": "/v1"}}``, also ``schemes``, ``ip`` and ``ports``."""

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
        """The default of ``schemes`` is https, of ``ports`` the scheme's port."""
        members = place.read_object(body, allowed=("schemes", "names", "ip", "ports", "path"))
        hosts = read_hosts(members.get("names", []), members.get("ip", []), place)
        schemes = _read_schemes(members.get("schemes", ["https"]), place.member("schemes"))
        ports = _read_ports(members["ports"], place.member("ports")) if "ports" in members else ()
        path = place.member("path").read_text(members.get("path", "/"))
        read = read_url(f"https://a.example{path}")
        if isinstance(read, Mismatch) or read.path != path or (path != "/" and path.endswith("/")):
            raise place.member("path").fault("must be a path such as /v1/files, without a slash at its end")
        return cls(schemes=schemes, hosts=hosts, ports=ports, path=path)

    def permits(self, value: JsonValue) -> Verdict:
        url = read_url(value) if isinstance(value, str) else _NOT_URL
        if isinstance(url, Mismatch):
            return url
        if url.scheme not in self.schemes:
            return _SCHEME
        verdict = self.hosts.judge(url.host)
        if isinstance(verdict, Mismatch):
            return verdict
        if url.port not in (self.ports or (PORTS[url.scheme],)):
            return _PORT
        return MET if _is_below(url.path, self.path) else _PATH

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        ports = f", port {' or '.join(map(str, self.ports))}" if self.ports else ""
        path = f", path at or below `{show(self.path, name)}`" if self.path != "/" else ""
        return f"a URL with {' or '.join(self.schemes)} to {self.hosts.words(name)}{ports}{path}"

    def value(self) -> JsonValue:
        body = self.hosts.body()
        if self.schemes != ("https",):
            body["schemes"] = list(self.schemes)
        if self.ports:
            body["ports"] = list(self.ports)
        if self.path != "/":
            body["path"] = self.path
        return body

    def known_within(self, other: Constraint) -> Containment:
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
        if not isinstance(other, Url):
            return NOT_EXCLUDED
        paths = _is_below(self.path, other.path) or _is_below(other.path, self.path)
        meet = self.hosts.meets(other.hosts) and bool(self.pairs() & other.pairs()) and paths
        return NOT_EXCLUDED if meet else EXCLUDED

    def pairs(self) -> set[tuple[str, int]]:
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


_MAX_NAMED: Final = 1000
_SHOWN: Final = 5
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_LOCAL: Final = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")

_NOT_EMAIL = Mismatch(code="not-an-email", reason="is not one plain e-mail address")
_NOT_GRANTED = Mismatch(code="email-not-granted", reason="is not an address or of a domain that is granted")


def read_email(text: str) -> tuple[str, str] | None:
    """Returns the local part and the lower-case domain; None if it is not an address."""
    local, at, domain = text.partition("@")
    if not at or len(text) > _MAX_ADDRESS or len(local) > _MAX_LOCAL or not text.isascii():
        return None
    if _LOCAL.fullmatch(local) is None or not is_name(domain.lower()):
        return None
    return local, domain.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Constraint):
    """``{"email": {"addresses": ["bob@example.com"], "domains": ["example.org"]}}``; one may be missing."""

    tag: ClassVar[str] = "email"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "One plain e-mail address: one of these, or of one of these domains.",
        "type": "object",
        "properties": {"addresses": TEXTS, "domains": TEXTS},
        "additionalProperties": False,
        "minProperties": 1,
    }
    addresses: frozenset[str]
    domains: frozenset[str]

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Email:
        members = place.read_object(body, allowed=("addresses", "domains"))
        addresses: set[str] = set()
        for here, text in _texts(members.get("addresses", []), place.member("addresses")):
            address = read_email(text)
            if address is None:
                raise here.fault("must be one plain e-mail address, such as bob@example.com")
            addresses.add("@".join(address))
        domains: set[str] = set()
        for here, text in _texts(members.get("domains", []), place.member("domains")):
            if not is_name(text):
                raise here.fault("must be a domain in small ASCII letters, such as example.org")
            domains.add(text)
        if not addresses and not domains:
            raise place.fault("names no address and no domain")
        return cls(addresses=frozenset(addresses), domains=frozenset(domains))

    def permits(self, value: JsonValue) -> Verdict:
        found = read_email(value) if isinstance(value, str) else None
        if found is None:
            return _NOT_EMAIL
        local, domain = found
        return MET if domain in self.domains or f"{local}@{domain}" in self.addresses else _NOT_GRANTED

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        parts = [f"`{show(one, name)}`" for one in sorted(self.addresses)]
        parts += [f"any at `{show(one, name)}`" for one in sorted(self.domains)]
        rest = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
        return f"an e-mail address of {', '.join(parts[:_SHOWN])}{rest}"

    def value(self) -> JsonValue:
        body: dict[str, JsonValue] = {}
        if self.addresses:
            body["addresses"] = [*sorted(self.addresses)]
        if self.domains:
            body["domains"] = [*sorted(self.domains)]
        return body

    def known_within(self, other: Constraint) -> Containment:
        if not isinstance(other, Email):
            return NotContained(reason="e-mail addresses are only within e-mail addresses")
        if self.domains <= other.domains and all(map(other.grants, self.addresses)):
            return CONTAINED
        return NotContained(reason="it has an address that the other doesn't")

    def known_excludes(self, other: Constraint) -> Exclusion:
        if not isinstance(other, Email):
            return NOT_EXCLUDED
        meet = self.domains & other.domains or any(map(other.grants, self.addresses))
        return NOT_EXCLUDED if meet or any(map(self.grants, other.addresses)) else EXCLUDED

    def grants(self, address: str) -> bool:
        return address in self.addresses or address.rpartition("@")[2] in self.domains


def _texts(body: JsonValue, place: Place) -> list[tuple[Place, str]]:
    items = place.read_list(body, most=_MAX_NAMED)
    return [(place.item(index), place.item(index).read_text(item)) for index, item in enumerate(items)]
