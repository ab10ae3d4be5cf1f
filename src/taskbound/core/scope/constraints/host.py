"""The constraints host and cidr: names and addresses of hosts.

Of host names, which are read so strictly that every reader finds the same host:

1. ASCII letters, digits and hyphens; labels of 1 to 63 characters without a hyphen at either end; at most 253
   characters; no final dot. Case is folded. ``xn--`` labels must be granted literally.
2. A name whose last label is a number (``127.1``, ``0x7f``) is refused, as many readers take it for an
   address.
3. ``*.example.org`` is any name below ``example.org`` at any depth, without ``example.org`` itself.
4. An address must be in a network granted by ``ip``, in its shortest text; no name grants an address.

What a name resolves to is not known here; it can be an internal address, and change.

An IPv4 address is four decimal numbers without leading zeros. An IPv6 address is hexadecimal, without a zone,
an embedded IPv4 address or an IPv4-mapped prefix (``::ffff:0:0/96``). A network is ``address/length`` without
set host bits; a value is inside if all its addresses are in one granted network.
"""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    TEXT,
    TEXTS,
    Constraint,
    Contained,
    Form,
    Kind,
    NotContained,
)
from taskbound.core.scope.show import show
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_NETWORKS: Final = 256
_LONGEST: Final = 43
_ADDRESS: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_TRANSLATED: Final = IPv6Network("64:ff9b::/32")
"""IPv6 that stands for IPv4 (RFC 6052, RFC 8215)."""
_GIVEN_OUT: Final = IPv6Network("2000::/3")
"""All that was ever given out for use between networks (RFC 4291 section 2.4)."""

_NOT_ADDRESS = Mismatch(code="not-an-address", reason="is not an IP address or network that all read alike")
_OUTSIDE = Mismatch(code="address-outside", reason="is not inside a network that is granted")


def read_address(text: str) -> Address | None:
    """Returns the address, or None for any other text."""
    if len(text) > _LONGEST or _ADDRESS.fullmatch(text) is None:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None  # leading zeros, numbers above 255, more or fewer groups
    return None if isinstance(found, IPv6Address) and found in _MAPPED else found


def is_public(address: Address) -> bool:
    """Returns whether the address reaches the same host from everywhere on the internet."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    stands_for = address.ipv4_mapped or address.sixtofour or address.teredo or address in _TRANSLATED
    return not stands_for and address in _GIVEN_OUT and address.is_global and not address.is_multicast


def read_network(text: str) -> Network | None:
    """Returns the network, or None for any other text."""
    head, _, length = text.partition("/")
    address = read_address(head)
    if address is None or _LENGTH.fullmatch(length) is None:
        return None
    try:
        return ip_network(f"{address}/{length}")
    except ValueError:
        return None  # bits beyond the prefix, or a prefix too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Granted networks."""

    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, body: JsonValue, place: Place) -> Networks:
        """Reads a list of networks; a single address gets its full length."""
        found: dict[str, Network] = {}
        for index, item in enumerate(place.read_list(body, most=MAX_NETWORKS)):
            here = place.item(index)
            text = here.read_text(item)
            network = read_network(text)
            if network is None:
                raise here.fault(
                    "must be a network such as 10.0.0.0/8 or 2001:db8::/32, without bits beyond its prefix"
                )
            if str(network) in found:
                raise here.fault("is named a second time")
            found[str(network)] = network
        return cls(networks=tuple(one for _, one in sorted(found.items())))

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(map(str, self.networks))

    def hold(self, found: Address | Network) -> bool:
        return any(_is_inside(found, one) for one in self.networks)

    def within(self, other: Networks) -> Containment:
        if all(map(other.hold, self.networks)):
            return CONTAINED
        return NotContained(reason="it has a network that is not inside one of the other's")

    def meet(self, other: Networks) -> bool:
        return any(map(other.hold, self.networks)) or any(map(self.hold, other.networks))


def _is_inside(found: Address | Network, outer: Network) -> bool:
    if isinstance(outer, IPv4Network):
        if isinstance(found, IPv4Network):
            return found.subnet_of(outer)
        return isinstance(found, IPv4Address) and found in outer
    if isinstance(found, IPv6Network):
        return found.subnet_of(outer)
    return isinstance(found, IPv6Address) and found in outer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cidr(Constraint):
    """``{"cidr": ["10.0.0.0/8"]}``: an address or network inside one of these."""

    tag: ClassVar[str] = "cidr"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "An IP address or network inside of one of these, such as 10.0.0.0/8.",
        "type": "array",
        "items": TEXT,
        "minItems": 1,
        "maxItems": MAX_NETWORKS,
        "uniqueItems": True,
    }
    networks: Networks

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Cidr:
        networks = Networks.parse(body, place)
        if not networks.texts:
            raise place.fault("must not be empty: it would permit nothing")
        return cls(networks=networks)

    def permits(self, value: JsonValue) -> Verdict:
        if not isinstance(value, str):
            return _NOT_ADDRESS
        found = read_network(value) if "/" in value[:_LONGEST] else read_address(value)
        if found is None:
            return _NOT_ADDRESS
        return MET if self.networks.hold(found) else _OUTSIDE

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        return "an address or network inside " + " or ".join(f"`{one}`" for one in self.networks.texts)

    def value(self) -> JsonValue:
        return list(self.networks.texts)

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Cidr):
            return self.networks.within(other.networks)
        return NotContained(reason="networks are only within networks")

    def known_excludes(self, other: Constraint) -> Exclusion:
        return (
            EXCLUDED if isinstance(other, Cidr) and not self.networks.meet(other.networks) else NOT_EXCLUDED
        )


MAX_NAMES: Final = 256
_MAX_NAME: Final = 253
_NAME: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?P<last>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_NOT_HOST = Mismatch(code="not-a-host", reason="is not the name of a host that all read alike")
_NOT_GRANTED = Mismatch(code="host-not-granted", reason="is not a host that is granted")


def is_name(text: str) -> bool:
    """Returns whether a lower-case text is a host name (rules 1 and 2)."""
    found = _NAME.fullmatch(text) if len(text) <= _MAX_NAME else None
    return found is not None and _NUMBER.fullmatch(found["last"]) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Granted names, suffixes and networks."""

    names: tuple[str, ...]
    """Names, and ``*.suffix``, sorted."""
    networks: Networks
    exact: frozenset[str] = field(init=False, repr=False, compare=False)
    suffixes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """With the dot in front."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "exact", frozenset(one for one in self.names if not one.startswith("*")))
        object.__setattr__(self, "suffixes", tuple(one[1:] for one in self.names if one.startswith("*")))

    def judge(self, text: str) -> Verdict:
        """Decides whether the host is granted; an IPv6 address has no brackets here."""
        address = read_address(text)
        if address is not None:
            return MET if str(address) == text and self.networks.hold(address) else _NOT_GRANTED  # rule 4
        name = text.lower()
        if not text.isascii() or not is_name(name):
            return _NOT_HOST
        return (
            MET if name in self.exact or any(_is_below(name, one) for one in self.suffixes) else _NOT_GRANTED
        )

    def within(self, other: Hosts) -> Containment:
        names = all(isinstance(other.judge(one), Match) for one in self.exact)
        suffixes = all(any(_is_at_or_below(one, outer) for outer in other.suffixes) for one in self.suffixes)
        if names and suffixes and isinstance(self.networks.within(other.networks), Contained):
            return CONTAINED
        return NotContained(reason="it has a host that the other doesn't")

    def meets(self, other: Hosts) -> bool:
        """Returns whether both may grant some host; True if unsure."""
        names = any(
            isinstance(two.judge(name), Match)
            for one, two in ((self, other), (other, self))
            for name in one.exact
        )
        suffixes = any(
            one.endswith(two) or two.endswith(one) for one in self.suffixes for two in other.suffixes
        )
        return names or suffixes or self.networks.meet(other.networks)

    def words(self, name: str) -> str:
        parts = [f"`{show(one, name)}`" for one in self.names]
        parts += [f"an address in `{one}`" for one in self.networks.texts]
        return ", ".join(parts)

    def body(self) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        if self.names:
            members["names"] = list(self.names)
        if self.networks.texts:
            members["ip"] = list(self.networks.texts)
        return members


def _is_below(name: str, suffix: str) -> bool:
    return name.endswith(suffix) and len(name) > len(suffix) and not _has_punycode(name.removesuffix(suffix))


def _is_at_or_below(suffix: str, outer: str) -> bool:
    return suffix.endswith(outer) and not _has_punycode(suffix.removesuffix(outer))  # as rule 1 has it


def _has_punycode(text: str) -> bool:
    return any(label.startswith("xn--") for label in text.split("."))


def read_hosts(names: JsonValue, ip: JsonValue, place: Place) -> Hosts:
    """Reads a list of names and a list of networks, which must not both be empty."""
    found: set[str] = set()
    where = place.member("names")
    for index, item in enumerate(where.read_list(names, most=MAX_NAMES)):
        here = where.item(index)
        text = here.read_text(item)
        name = text.removeprefix("*.")
        if not is_name(name):
            raise here.fault(
                "must be a name of a host in small ASCII letters, or *. and such a name; addresses go into ip"
            )
        if not all(map(_is_sound, name.split("."))):
            raise here.fault("has an xn-- label that is not punycode")
        if text in found:
            raise here.fault("is named a second time")
        found.add(text)
    networks = Networks.parse(ip, place.member("ip"))
    if not found and not networks.texts:
        raise place.fault("names no host")
    return Hosts(names=tuple(sorted(found)), networks=networks)


def _is_sound(label: str) -> bool:
    if not label.startswith("xn--"):
        return True
    try:
        text = label[4:].encode().decode("punycode")
    except UnicodeError:
        return False
    return not text.isascii() and text.encode("punycode").decode() == label[4:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Constraint):
    """``{"host": ["api.example.com", "*.example.org"]}``, or ``{"names": […], "ip": ["10.0.0.0/8"]}``."""

    tag: ClassVar[str] = "host"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "A host: one of these names, below `*.suffix`, or an address in `ip`.",
        "anyOf": [
            {**TEXTS, "minItems": 1},
            {
                "type": "object",
                "properties": {"names": TEXTS, "ip": TEXTS},
                "additionalProperties": False,
                "minProperties": 1,
            },
        ],
    }
    hosts: Hosts

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Host:
        if isinstance(body, list):
            body = {"names": body}
        members = place.read_object(body, allowed=("names", "ip"))
        return cls(hosts=read_hosts(members.get("names", []), members.get("ip", []), place))

    def permits(self, value: JsonValue) -> Verdict:
        return self.hosts.judge(value) if isinstance(value, str) else _NOT_HOST

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a host of {self.hosts.words(name)}"

    def value(self) -> JsonValue:
        body = self.hosts.body()
        return body["names"] if list(body) == ["names"] else body

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Host):
            return self.hosts.within(other.hosts)
        return NotContained(reason="hosts are only within hosts")

    def known_excludes(self, other: Constraint) -> Exclusion:
        return EXCLUDED if isinstance(other, Host) and not self.hosts.meets(other.hosts) else NOT_EXCLUDED
