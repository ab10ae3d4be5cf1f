"""One use of the page: for one purpose, by one person, begun once, and over after its answer.

1. The address that opens it holds a token behind the `#`, which no browser sends to anybody. Its own script
   brings it once; what it gets for it, the sitting's secret, no address ever held. Whoever comes second, also
   in a second tab, is told that somebody came first.
2. Neither is authority: with both one sees what is asked, and a signature is what counts.
3. So many tries, and so long: then it is over, whatever happened.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from taskbound.core.errors import DeniedError
from taskbound.wire.page import PageBegin, PageMade, PageShown, PageSign, parse_page, parse_part
from taskbound.wire.passkey import Assertion

if TYPE_CHECKING:
    from taskbound.wire.page import PageTaken


_TRIES: Final = 8
"""How often something may be brought."""


class PageOverError(DeniedError):
    """The page was opened before, elsewhere or in another tab, or has had its answer."""

    code = "page-over"
    remedy = "run the command again; if nobody opened it but you, somebody else may have had its address"


class Desk(Protocol):
    """What a page is for."""

    @property
    def namespace(self) -> str:
        """Of the person: another one's has people of its own."""

    @property
    def person(self) -> str:
        """Whose passkey it is."""

    async def begin(self) -> PageShown:
        """What is shown, as it is now; the secret is put in by the sitting."""

    async def make(self, made: PageMade, origin: str) -> PageShown:
        """Take a passkey that was made; what is to be signed with it."""

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        """Take a signature; what became of it."""


class Sitting:
    """What one page remembers."""

    def __init__(self, desk: Desk) -> None:
        """Make its secrets."""
        self.desk = desk
        self.token = secrets.token_urlsafe(32)
        self.over = False
        self._secret = secrets.token_urlsafe(32)
        self._begun = False
        self._tries = 0

    async def take(self, path: str, body: bytes, origin: str) -> PageShown | PageTaken:
        """What is answered to what the page brings.

        Raises:
            TaskboundError: It is refused.
        """
        match path:
            case "/begin":
                return await self._begin(parse_page(body, PageBegin))
            case "/make":
                made = parse_page(body, PageMade)
                self._require(made.sitting)
                return self._shown(await self.desk.make(made, origin))
            case _:
                signed = parse_page(body, PageSign)
                self._require(signed.sitting)
                taken = await self.desk.sign(signed.choice, _assertion(signed, origin))
                self.over = True
                return taken

    async def _begin(self, asked: PageBegin) -> PageShown:
        if self._begun or not hmac.compare_digest(asked.token.encode(), self.token.encode()):
            raise PageOverError("the page was opened before, or with another address")  # 1
        self._begun = True
        return self._shown(await self.desk.begin())

    def _require(self, secret: str) -> None:
        known = hmac.compare_digest(secret.encode(), self._secret.encode())
        if self.over or not known or self._tries >= _TRIES:
            raise PageOverError("the page is over, or was opened by somebody else")
        self._tries += 1  # 3

    def _shown(self, shown: PageShown) -> PageShown:
        return structs.replace(shown, sitting=self._secret)


def _assertion(signed: PageSign, origin: str) -> Assertion:
    return Assertion(
        origin=origin,
        credential=parse_part(signed.credential),
        client_data=parse_part(signed.client),
        device_data=parse_part(signed.device),
        signature=parse_part(signed.signature),
    )
