"""What may be brought on the daemon's socket: everything but what a passkey has signed.

1. A passkey's signature is taken from its page and from nowhere else: only who served the page knows which
   origin was ours.
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError


class PasskeyElsewhereError(DeniedError):
    """A passkey's signature was brought by something else than the page that it was made on."""

    code = "passkey-elsewhere"
    remedy = "open the page with `taskbound approval open` or `taskbound person key`, and sign there"


def require_brought(signature: str) -> None:
    """Go on only with what may be brought on the socket (rule 1).

    Raises:
        PasskeyElsewhereError: It is a passkey's.
    """
    if signature.lstrip().startswith("{"):
        raise PasskeyElsewhereError("what a passkey has signed is taken from its page, and from nowhere else")
