"""A page whose acts are authorized by the rules in force, as what brings the same over the socket is.

1. Who opened the page is the principal: whoever has it acts for them, and brings a signature of theirs.
2. Each act is authorized when it comes, and not only when the page was opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal
    from taskbound.surfaces.api.authority import Authority
    from taskbound.surfaces.api.page.sitting import Desk
    from taskbound.wire.page import PageMade, PageShown, PageTaken
    from taskbound.wire.passkey import Assertion

__all__ = ["Acts", "AuthorizedDesk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """The operation that a page's acts are."""

    operation: str
    about: str
    """What it is about."""


class AuthorizedDesk:
    """A desk (`page.sitting.Desk`) that asks before each act."""

    def __init__(self, authority: Authority, desk: Desk, principal: Principal, acts: Acts) -> None:
        """Hold this desk to the rules."""
        self._authority = authority
        self._desk = desk
        self._principal = principal
        self._acts = acts

    @property
    def namespace(self) -> str:
        """Of the person."""
        return self._desk.namespace

    @property
    def person(self) -> str:
        """Whose passkey it is."""
        return self._desk.person

    async def begin(self) -> PageShown:
        """What is shown."""
        return await self._desk.begin()

    async def make(self, made: PageMade, origin: str) -> PageShown:
        """Take a passkey that was made, once the rules let that pass."""
        await self._require()
        return await self._desk.make(made, origin)

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        """Take a signature, once the rules let that pass."""
        await self._require()
        return await self._desk.sign(choice, assertion)

    async def _require(self) -> None:
        acts = self._acts
        await self._authority.authorize(self._principal, acts.operation, None, about=acts.about)  # 2
