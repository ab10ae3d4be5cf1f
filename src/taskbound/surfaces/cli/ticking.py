"""Lets the user select rows of a list in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.surfaces.cli.session import Session


def tick(session: Session, title: str, rows: Sequence[tuple[str, str, bool]]) -> tuple[int, ...]:
    """Return the indexes of the selected rows; raises NeedsYesError without a terminal.

    Each row has a name, a description, and whether it is preselected.
    """
    ticked = [one for _, _, one in rows]
    while True:
        session.screen.heading(title)
        session.screen.table(
            ("", "NO", "NAME", "WHAT"),
            [("[x]" if ticked[at] else "[ ]", at + 1, name, what) for at, (name, what, _) in enumerate(rows)],
            "nothing",
        )
        answer = session.prompt("Numbers to change, or Enter to go on:").replace(",", " ").split()
        if not answer:
            return tuple(at for at, one in enumerate(ticked) if one)
        for word in answer:
            number = int(word) if word.isascii() and word.isdecimal() else 0
            if 1 <= number <= len(rows):
                ticked[number - 1] = not ticked[number - 1]
            else:
                session.screen.note(
                    f"there is no row `{shown(word[:10])}`: type numbers from 1 to {len(rows)}"
                )
