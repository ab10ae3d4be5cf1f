"""What the daemon's socket accepts as a signature: any but a passkey's.

1. A passkey's signature is accepted only from its page, because only the server of the page knows its origin.
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError


class PasskeyElsewhereError(DeniedError):
    """A passkey's signature did not come from the page on which it was made."""

    code = "passkey-elsewhere"
    remedy = "open the page with `taskbound approval open` or `taskbound person key`, and sign there"


def require_brought(signature: str) -> None:
    """Raises PasskeyElsewhereError for a passkey's signature (rule 1)."""
    if signature.lstrip().startswith("{"):
        raise PasskeyElsewhereError("what a passkey has signed is taken from its page, and from nowhere else")
