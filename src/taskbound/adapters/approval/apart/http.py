"""The version of a web page, by one `HEAD` request; the argument's author may control server and names.

- All addresses of a name must be public, unless a person declared the address; the checked one is used.
- Redirects, proxies, cookies and credentials are not used. TLS is verified as the system does.
- The answer is 200 with one strong ETag: weak ETags and dates don't identify content.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import OperandUnreadableError
from taskbound.core.scope.constraints.host import is_public

if TYPE_CHECKING:
    from taskbound.core.approval.probe import PageRoot


_SECONDS: Final = 2.0
"""For one step of the connection; the whole look is bounded by who waits for this process."""
_ADDRESSES: Final = 3
_STRONG: Final = re.compile(r'"[!#-~]{1,512}"')
_OK: Final = 200


def page_version(base: PageRoot, page: str) -> dict[str, str]:
    """Returns the page's version; raises OperandUnreadableError without a reliable one."""
    target = page[len(base.origin) :]
    try:
        with _connected(base) as connected:
            connection = http.client.HTTPConnection(base.host, base.port)
            connection.sock = connected
            connection.putrequest("HEAD", target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", base.origin.partition("://")[2])
            connection.putheader("Accept", "*/*")
            connection.putheader("Accept-Encoding", "identity")
            connection.putheader("User-Agent", "taskbound")
            connection.putheader("Connection", "close")
            connection.endheaders()
            response = connection.getresponse()
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise OperandUnreadableError(f"the server could not be asked ({type(error).__name__})") from error
    return {"etag": _etag(response), "page": page}


def _connected(base: PageRoot) -> socket.socket:
    found = socket.getaddrinfo(base.host, base.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not base.is_address and not all(is_public(ip_address(one)) for one in addresses):
        raise OperandUnreadableError("its host's name leads to an address that is not public")
    for number, address in enumerate(addresses[:_ADDRESSES], 1):
        try:
            plain = socket.create_connection((address, base.port), timeout=_SECONDS)
        except OSError:
            if number == len(addresses[:_ADDRESSES]):
                raise
            continue
        if base.scheme == "http":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=base.host)
        except BaseException:
            plain.close()
            raise
    raise OperandUnreadableError("its host has no address")


def _etag(response: http.client.HTTPResponse) -> str:
    if 300 <= response.status < 400:  # noqa: PLR2004 - what HTTP calls a redirection
        raise OperandUnreadableError("it leads elsewhere, and is not followed there")
    if response.status != _OK:
        raise OperandUnreadableError(f"the server answers {response.status}, and not {_OK}")
    found = response.headers.get_all("ETag", [])
    if response.headers.defects or len(found) != 1 or _STRONG.fullmatch(found[0]) is None:
        raise OperandUnreadableError("the server gives it no strong ETag")
    return found[0]
