"""Whoever fetches what issuers publish.

The port exists for a security reason: where such a document is, an issuer says, and so a stranger would
choose whom the daemon talks to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class IssuerUnreachableError(UnavailableError):
    """An issuer's metadata or keys could not be fetched, so nothing of it can be believed now."""

    code = "issuer-unreachable"


class Documents(Protocol):
    """Fetches JSON documents over HTTP; it waits."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """The document at this URL; None where the server says that there is none.

        MUST follow nothing, read at most 64 KiB, end within 20 seconds, verify TLS, and connect to an address
        that is not public only where `private` says so, and to one of the link itself never.

        Raises:
            IssuerUnreachableError: It is not reached, or gives no document.
        """


class Forms(Protocol):
    """Posts a form to an issuer's endpoint over HTTP; it waits."""

    def post(
        self, url: str, form: Mapping[str, str], *, authorization: str, private: bool
    ) -> tuple[int, bytes]:
        """The status and the JSON of the answer; no bytes where it is no JSON.

        MUST keep the duties of `Documents.fetch`, send it once, and send `authorization` (empty for none) in
        the header of that name; no text of an error has anything of what was sent or answered.

        Raises:
            IssuerUnreachableError: It is not reached.
        """
