"""A program's own guarded functions, which any environment can load that has the SDK."""

from __future__ import annotations

from typing import Any

from taskbound.sdk.guard.guarded import Guarded, guard

ran: list[Any] = []
"""What the functions were called with, in order."""


@guard(server="notes", effect="write")
def note(text: str, tags: list[str] | None = None) -> str:
    """Write a note down."""
    ran.append((text, tags))
    return f"noted {text}"


@guard(server="notes", effect="write")
async def note_later(text: str) -> str:
    """Write a note down, by and by."""
    ran.append(text)
    return f"noted {text}"


@guard(server="notes", effect="write", failed=ZeroDivisionError)
def fail(text: str) -> str:
    """Fail, with a secret in the words."""
    ran.append(text)
    raise ZeroDivisionError(text)


@guard(server="notes", effect="write")
def spend(amount: int) -> int:
    """Spend some."""
    ran.append(amount)
    return amount


FUNCTIONS: tuple[Guarded[..., Any], ...] = (note, note_later, fail, spend)
