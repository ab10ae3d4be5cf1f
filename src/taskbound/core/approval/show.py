"""What is too long to be shown whole is refused, never held (law 6, A045, A046).

1. An approver reads every byte that would run. The cap is on the escaped text and on its lines, so that
   nothing can be pushed out of sight.
"""

from __future__ import annotations

from typing import Final

from taskbound.core.action import escape_text
from taskbound.core.approval.errors import TooLongToShowError

__all__ = ["DISPLAY_CAP", "require_showable"]

DISPLAY_CAP: Final = 8_192
"""Characters, escapes counted, that a person is asked to read at most."""


def require_showable(arguments: bytes) -> None:
    """Go on only with arguments that a person can be shown whole.

    Raises:
        TooLongToShowError: They are longer.
    """
    length = len(arguments) if len(arguments) > DISPLAY_CAP else len(escape_text(arguments.decode()))
    if length > DISPLAY_CAP:
        raise TooLongToShowError(f"its arguments take {length} characters to show, and {DISPLAY_CAP} can be")
