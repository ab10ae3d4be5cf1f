"""Looking at what the arguments of a call name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Look, Operand
    from taskbound.core.errors import DeniedError


class Operands(Protocol):
    """Looks at what the arguments of a call name, itself, and believes nobody's word about it."""

    def look(self, looks: Sequence[Look]) -> tuple[Operand, ...]:
        """What is behind each of these now, in order.

        MUST raise `OperandOutsideError` for what is not beneath the declared folder, by any way, and
        `OperandUnreadableError` for what it can't look at whole; then nobody is asked, and nothing runs.
        MUST end within bounds of time and bytes, whatever is there, and MUST change nothing.
        """


class FarOperands(Protocol):
    """Looks at what is behind another process, and waits for it; believes nobody's word about it."""

    def see(self, looks: Sequence[Look]) -> tuple[Operand | DeniedError, ...]:
        """What is behind each of these now, in order, or why it can't be said.

        MUST answer for each: with `OperandOutsideError` or `OperandUnreadableError` where it can't be looked
        at.
        MUST end within a few seconds and bounds of bytes, whatever is there, and MUST change nothing.
        """
