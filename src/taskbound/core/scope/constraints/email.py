"""The constraint ``email``: one e-mail address that every reader takes for the same mailbox.

1. One address: a dot-atom of ASCII (RFC 5322 §3.2.3), an ``@``, a name of a host. No name to display,
   no angle brackets, comments, quotes, spaces, lists, address literals or percent and exclamation routes.
2. At most 64 characters before the ``@`` and 254 in all.
3. What is before the ``@`` is compared exactly, since only its server knows whether case or ``+tags``
   matter; the domain is compared in small letters. A domain is itself and nothing below it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import TEXTS, Form
from taskbound.core.scope.constraints.host import is_name
from taskbound.core.scope.show import show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


_MAX_NAMED: Final = 1000
_SHOWN: Final = 5
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_LOCAL: Final = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")

_NOT_EMAIL = Unmet(code="not-an-email", reason="is not one plain e-mail address")
_NOT_GRANTED = Unmet(code="email-not-granted", reason="is not an address or of a domain that is granted")


def read_email(text: str) -> tuple[str, str] | None:
    """What is before the ``@``, and the domain in small letters; ``None`` when it is no address."""
    local, at, domain = text.partition("@")
    if not at or len(text) > _MAX_ADDRESS or len(local) > _MAX_LOCAL or not text.isascii():
        return None
    if _LOCAL.fullmatch(local) is None or not is_name(domain.lower()):
        return None
    return local, domain.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Constraint):
    """``{"email": {"addresses": ["bob@example.com"], "domains": ["example.org"]}}``; one may be left out."""

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
        """The constraint; it names something."""
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
        """Met by one plain address that is granted, or whose domain is."""
        found = read_email(value) if isinstance(value, str) else None
        if found is None:
            return _NOT_EMAIL
        local, domain = found
        return MET if domain in self.domains or f"{local}@{domain}" in self.addresses else _NOT_GRANTED

    def describe(self, name: str) -> str:
        """The words, with the first few."""
        parts = [f"`{show(one, name)}`" for one in sorted(self.addresses)]
        parts += [f"any at `{show(one, name)}`" for one in sorted(self.domains)]
        rest = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
        return f"an e-mail address of {', '.join(parts[:_SHOWN])}{rest}"

    def value(self) -> JsonValue:
        """The body."""
        body: dict[str, JsonValue] = {}
        if self.addresses:
            body["addresses"] = [*sorted(self.addresses)]
        if self.domains:
            body["domains"] = [*sorted(self.domains)]
        return body

    def known_within(self, other: Constraint) -> Containment:
        """Addresses are within addresses and domains that grant each of them."""
        if not isinstance(other, Email):
            return NotContained(reason="e-mail addresses are only within e-mail addresses")
        if self.domains <= other.domains and all(map(other.grants, self.addresses)):
            return CONTAINED
        return NotContained(reason="it has an address that the other doesn't")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """No shared domain, and no address that both grant."""
        if not isinstance(other, Email):
            return NOT_EXCLUDED
        meet = self.domains & other.domains or any(map(other.grants, self.addresses))
        return NOT_EXCLUDED if meet or any(map(self.grants, other.addresses)) else EXCLUDED

    def grants(self, address: str) -> bool:
        """Whether an address in canonical form is named, or its domain is."""
        return address in self.addresses or address.rpartition("@")[2] in self.domains


def _texts(body: JsonValue, place: Place) -> list[tuple[Place, str]]:
    items = place.read_list(body, most=_MAX_NAMED)
    return [(place.item(index), place.item(index).read_text(item)) for index, item in enumerate(items)]
