"""Where a page is that an argument names: beneath a base URL, by what every reader takes for the same.

1. A base is `https://HOST/PATH/` or `http://HOST/PATH/`, with a port where it is not the scheme's own: in
   small letters, with a slash at its end, without user, query or fragment.
2. An argument is a whole URL, a path from the host's root (`/v1/a`), or one from the base (`a`). It is read
   as the constraint `url` reads one (`scope.constraints.url`), so what readers quarrel about is refused:
   dots and slashes written as escapes, `..`, `//`, backslashes, users, addresses in odd numbers.
3. It lies beneath the base: scheme, host and port are the base's, and so is the beginning of the path. The
   base itself is not beneath it. It may have a query, and no fragment: that never reaches a server.
4. A first segment with a colon may be taken for a scheme, and is refused.
"""

from __future__ import annotations

from typing import Final

from taskbound.core.approval.errors import BadProbeError, OperandOutsideError, OperandUnreadableError
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.address import read_address
from taskbound.core.scope.constraints.host import is_name
from taskbound.core.scope.constraints.url import PORTS, ReadUrl, read_url

_SCHEMES: Final = ("https", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoot:
    """What a page lies beneath."""

    scheme: str
    host: str
    """A name, or an address; IPv6 without brackets."""
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, as they are written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    @property
    def text(self) -> str:
        """As a person writes it (rule 1)."""
        return f"{self.origin}{self.path}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, and no name that leads to one."""
        return read_address(self.host) is not None

    def page(self, value: str) -> str:
        """The URL that an argument names.

        Raises:
            OperandUnreadableError: Not every reader takes it for the same (rules 2 to 4).
            OperandOutsideError: It is not beneath the base (rule 3).
        """
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
    """The base that a person wrote.

    Raises:
        BadProbeError: It is none (rule 1).
    """
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
