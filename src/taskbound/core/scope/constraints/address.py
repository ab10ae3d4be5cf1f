"""IP addresses and networks, and the constraint ``cidr``.

1. An IPv4 address is four decimal numbers without leading zeros; ``127.1``, ``0x7f.0.0.1``,
   ``017700000001`` and ``2130706433`` are none. An IPv6 address is written in hexadecimal, without a zone and
   without an IPv4 address at its end; one that maps an IPv4 address (``::ffff:0:0/96``) is refused.
2. A network is an address and the length of its prefix, ``10.0.0.0/8``, with no bit set beyond it.
3. A value is inside when all of its addresses are inside of one granted network.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import TEXT, Form
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


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

_NOT_ADDRESS = Unmet(code="not-an-address", reason="is not an IP address or network that all read alike")
_OUTSIDE = Unmet(code="address-outside", reason="is not inside a network that is granted")


def read_address(text: str) -> Address | None:
    """The address, or ``None`` when the text is none (rule 1)."""
    if len(text) > _LONGEST or _ADDRESS.fullmatch(text) is None:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None  # leading zeros, numbers above 255, more or fewer groups
    return None if isinstance(found, IPv6Address) and found in _MAPPED else found


def is_public(address: Address) -> bool:
    """Whether everybody on the internet would reach the same host there."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    stands_for = address.ipv4_mapped or address.sixtofour or address.teredo or address in _TRANSLATED
    return not stands_for and address in _GIVEN_OUT and address.is_global and not address.is_multicast


def read_network(text: str) -> Network | None:
    """The network, or ``None`` when the text is none (rule 2)."""
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
    """Networks that are granted."""

    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, body: JsonValue, place: Place) -> Networks:
        """A list of networks; an address alone is written with its whole length."""
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
        """Each network as the canonical form has it."""
        return tuple(map(str, self.networks))

    def hold(self, found: Address | Network) -> bool:
        """Whether all of it is inside one of the networks."""
        return any(_is_inside(found, one) for one in self.networks)

    def within(self, other: Networks) -> Containment:
        """Whether each network is inside one of the other's."""
        if all(map(other.hold, self.networks)):
            return CONTAINED
        return NotContained(reason="it has a network that is not inside one of the other's")

    def meet(self, other: Networks) -> bool:
        """Whether some address is in both."""
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
    """``{"cidr": ["10.0.0.0/8"]}``: an address or a network inside of one of these."""

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
        """The constraint; the list is not empty."""
        networks = Networks.parse(body, place)
        if not networks.texts:
            raise place.fault("must not be empty: it would permit nothing")
        return cls(networks=networks)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by what is inside."""
        if not isinstance(value, str):
            return _NOT_ADDRESS
        found = read_network(value) if "/" in value[:_LONGEST] else read_address(value)
        if found is None:
            return _NOT_ADDRESS
        return MET if self.networks.hold(found) else _OUTSIDE

    def describe(self, _name: str) -> str:
        """The words."""
        return "an address or network inside " + " or ".join(f"`{one}`" for one in self.networks.texts)

    def value(self) -> JsonValue:
        """The body."""
        return list(self.networks.texts)

    def known_within(self, other: Constraint) -> Containment:
        """Networks are within networks that hold each of them."""
        if isinstance(other, Cidr):
            return self.networks.within(other.networks)
        return NotContained(reason="networks are only within networks")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """Networks that don't overlap."""
        return (
            EXCLUDED if isinstance(other, Cidr) and not self.networks.meet(other.networks) else NOT_EXCLUDED
        )
