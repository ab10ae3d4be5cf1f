"""A browser without a screen: it follows redirections, keeps cookies by host, and sends what browsers send.

    browser = Browser({"https://api.example": port})
    page = browser.open("https://api.example/sign-in")

Names of hosts lead to ports of this machine as the test says; each other address is asked where it is.
Cookies are a host's, whatever its port, and one with `Secure` goes to `https` alone, as RFC 6265bis has it.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_MOST: Final = 20
_PATIENCE: Final = 30.0
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer."""

    url: str
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    """Each `Set-Cookie` as it came."""
    text: str

    @property
    def code(self) -> str:
        """Which refusal it is; empty when it is none."""
        found = re.search(r"<code>\[([a-z-]+)\]</code>", self.text)
        return "" if found is None else found[1]

    def form(self, **more: str) -> tuple[str, dict[str, str]]:
        """Where its one form goes, and its fields, hidden ones included."""
        action = re.search(r'<form[^>]*action="([^"]*)"', self.text)
        if action is None:
            raise LookupError(f"no form at {self.url}: {self.text[:500]}")
        hidden = re.findall(r'<input type="hidden" name="([^"]*)"\s*value="([^"]*)"', self.text)
        return urljoin(self.url, unescape(action[1])), {
            **{name: unescape(value) for name, value in hidden},
            **more,
        }


@dataclass(slots=True)
class Browser:
    """One browser, with a jar of its own."""

    places: Mapping[str, int] = field(default_factory=dict)
    """Ports of this machine by origin."""
    jar: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=dict)
    """By host: values by name, and whether only TLS may carry them."""

    def open(
        self,
        url: str,
        form: Mapping[str, str] | None = None,
        *,
        until: Callable[[str], bool] = lambda _: False,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """The page at the end of all redirections, or the one that leads to where this is said of."""
        for _ in range(_MOST):
            page = self.ask(url, form, headers=headers)
            if page.status not in _MOVED:
                return page
            url, form, headers = urljoin(url, page.headers["location"]), None, None
            if until(url):
                return page
        raise LookupError(f"too many redirections, at last to {url}")

    def ask(
        self, url: str, form: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Page:
        """The answer to one request; a header of an empty value is left out."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        body = None if form is None else urlencode(form)
        told = {
            "Host": parts.netloc,
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            **self._cookie(parts.hostname or "", secured=parts.scheme == "https"),
            **({"Content-Type": "application/x-www-form-urlencoded", "Origin": origin} if body else {}),
            **(headers or {}),
        }
        place = ("127.0.0.1", self.places[origin]) if origin in self.places else (parts.hostname, parts.port)
        connection = http.client.HTTPConnection(str(place[0]), place[1], timeout=_PATIENCE)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            sent = {name: value for name, value in told.items() if value}
            connection.request("GET" if form is None else "POST", target, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            cookies = tuple(answer.headers.get_all("Set-Cookie") or ())
            self._keep(parts.hostname or "", cookies, secured=parts.scheme == "https")
            return Page(
                url=url,
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                cookies=cookies,
                text=text,
            )
        finally:
            connection.close()

    def _cookie(self, host: str, *, secured: bool) -> dict[str, str]:
        held = self.jar.get(host, {})
        text = "; ".join(f"{name}={value}" for name, (value, only) in held.items() if secured or not only)
        return {"Cookie": text} if text else {}

    def _keep(self, host: str, cookies: tuple[str, ...], *, secured: bool) -> None:
        held = self.jar.setdefault(host, {})
        for cookie in cookies:
            pair, *attributes = (one.strip() for one in cookie.split(";"))
            name, _, value = pair.partition("=")
            told = {one.partition("=")[0].lower(): one.partition("=")[2] for one in attributes}
            hosted = "secure" in told and told.get("path") == "/" and "domain" not in told
            if ("secure" in told and not secured) or (name.startswith("__Host-") and not hosted):
                continue  # RFC 6265bis §4.1.3, §5.7
            if told.get("max-age") == "0" or told.get("expires", "").endswith("1970 00:00:00 GMT"):
                held.pop(name, None)
            else:
                held[name] = (value, "secure" in told)
