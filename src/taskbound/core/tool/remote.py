"""A server that is reached by a URL: what of it is pinned, and where calls to it go.

Rules:

1. A URL is read as the constraint `url` reads one (`scope.constraints.url`): what readers quarrel about
   refuses. It is http or https and has neither user nor fragment. There is one way to write it: small
   letters, no port that is the scheme's own, a path.
2. Without TLS only this machine is spoken to: http is for an address of the loopback, and for `localhost`.
3. An address may be any host's that somebody wrote down on purpose; a name has to lead to public ones only
   (`admits`), but for `localhost`, which leads to this machine. So nobody who answers for a name decides
   that calls go to the network that this machine is in. Where a person said that a name may lead to a
   network of their own, it may lead there too, and never to addresses of the link, of nobody or of many.
4. Declared headers are sent with every request. They are none that HTTP, MCP or this gateway gives a
   meaning to, and none whose name or text says that it is a secret (`core.tool.secret`): what is pinned is
   shown, stored and digested. Neither is a parameter of the URL's query. Where a secret belongs is a slot
   (`slot`): a header or a parameter that is not declared, and is filled on the way.
5. For https a public key can be pinned, by the SHA-256 of its SubjectPublicKeyInfo (RFC 7469), and a file
   with the authorities that certify the server, by content. Either only narrows what is believed.
6. No error quotes who signs in with a URL, a query, a fragment, or a path that holds a secret.
"""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import IPv6Address, ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.address import is_public, read_address
from taskbound.core.scope.constraints.host import is_name
from taskbound.core.scope.constraints.url import PORTS, ReadUrl, read_url
from taskbound.core.tool.errors import BadHeaderError, BadServerError, BadSlotError, BadUrlError
from taskbound.core.tool.name import shown
from taskbound.core.tool.secret import is_secret_text, may_name_secret

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.identity import PinnedFile
    from taskbound.core.tool.slot import Slot


LOCALHOST: Final = "localhost"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
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
    """One server behind a URL.

    Raises:
        BadUrlError: On making one whose URL rules 1, 2 and 4 don't allow.
        BadHeaderError: One with a header that rule 4 doesn't allow.
        BadServerError: One with a key or a file that rule 5 doesn't allow.
    """

    url: str
    era: str
    """The revision of MCP that it is spoken to in."""
    headers: tuple[tuple[str, str], ...] = ()
    """Declared ones, by name in small letters, sorted."""
    key: str = ""
    """SHA-256 of its public key (rule 5); empty when any key that is certified will do."""
    authorities: PinnedFile | None = None
    """The file with those who certify it; without one they are the system's."""
    read: ReadUrl = field(init=False, repr=False, compare=False)
    """The URL, taken apart."""

    def __post_init__(self) -> None:
        """Require the rules."""
        read = _read(self.url)
        if _written(read, self.url) != self.url:
            raise BadUrlError(
                f"there is one way to write this URL: `{_masked(_written(read, self.url))}`"
            )  # 1
        _require_headers(self.headers)
        if self.key and _SHA256.fullmatch(self.key) is None:
            raise BadServerError(f"`{shown(self.key)}` is not a SHA-256 in lower-case hexadecimal")
        if read.scheme != "https" and (self.key or self.authorities is not None):
            raise BadServerError("only a server that is reached by https has a key and authorities")  # 5
        object.__setattr__(self, "read", read)

    @property
    def target(self) -> str:
        """What stands in a request for it: the path and, if there is one, the query."""
        _, mark, query = self.url.partition("?")
        return f"{self.read.path}{mark}{query}"

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them."""
        return self.url.split("/", 3)[2]

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.read.scheme}://{self.authority}"

    def admits(self, address: str, *, private: bool = False) -> bool:
        """Whether calls may go to this address, which the URL's host was found to lead to (rule 3).

        Args:
            address: What was found.
            private: Whether the person said that the name may lead to a network of their own.
        """
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
        """Go on only with slots whose headers and parameters are nobody else's (rule 4).

        Raises:
            BadSlotError: One is taken.
        """
        headers = {name for name, _ in self.headers}
        parameters = {part.partition("=")[0] for part in self.url.partition("?")[2].split("&")}
        for one in slots:
            taken = one.name in _TAKEN or one.name.startswith(_TAKEN_PREFIXES) or one.name in headers
            if (one.kind == "header" and taken) or (one.kind == "query" and one.name in parameters):
                raise BadSlotError(f"the place `{one.place}` is taken")

    def value(self) -> dict[str, JsonValue]:
        """What stands in the digest of the server's identity."""
        file = self.authorities
        return {
            "authorities": [file.path, file.sha256] if file is not None else [],
            "era": self.era,
            "headers": [[name, value] for name, value in self.headers],
            "key": self.key,
            "url": self.url,
        }


def canonical_url(text: str) -> str:
    """The one way to write the URL that a person typed.

    Raises:
        BadUrlError: It is none that rules 1, 2 and 4 allow.
    """
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
        raise BadUrlError(f"`{shown(read.host)}` is not this machine, and is reached by https only")  # 2
    for parameter in text.partition("?")[2].split("&"):
        _require_no_secret(*parameter.partition("=")[::2], "the URL's parameter")  # 4
    return read


def _masked(text: str) -> str:
    """A URL as an error may quote it (rule 6)."""
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
