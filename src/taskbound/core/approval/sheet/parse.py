"""From the lines that an approver saw back to the exact action.

Rules:

1. What is read is rendered again, and has to be the same text to the last byte: nothing can be
   added, left out, moved or spelled in another way.
2. So what follows from the rest (counts, *beware*, *note*) is not read but compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.approval.question import First
from taskbound.core.approval.sheet.leaves import gather, read_leaf
from taskbound.core.approval.sheet.lines import SHEET_WIDTH, Item, Label, Quoted, read_items
from taskbound.core.approval.sheet.render import Sheet, render_sheet
from taskbound.core.approval.sheet.values import (
    SHEET_LIMITS,
    BadSheetError,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
)
from taskbound.core.clock import parse_instant
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.core.approval.sheet.lines import Atom
    from taskbound.core.clock import Instant

__all__ = ["Fields", "parse_sheet"]

_DIGITS: Final = 18


def parse_sheet(text: str, limits: SheetLimits = SHEET_LIMITS) -> SheetOf:
    """What the sheet is of.

    Raises:
        BadSheetError: No action has this sheet (rule 1).
    """
    if len(text) > limits.lines * (SHEET_WIDTH + 1):
        raise BadSheetError("the text is longer than any sheet")
    try:
        found = _read(Fields(read_items(text)))
        again = render_sheet(found, limits)
    except BadSheetError:
        raise
    except MalformedError as error:
        raise BadSheetError(f"the sheet can't be read: {error.message}") from error
    if not isinstance(again, Sheet) or again.text != text:  # 1
        raise BadSheetError("no action is shown like this")
    return found


class Fields:
    """The items of a sheet by their labels."""

    def __init__(self, items: Iterable[Item]) -> None:
        """Sort them."""
        self._by_label: dict[Label, list[tuple[Atom, ...]]] = {}
        for item in items:
            self._by_label.setdefault(item.label, []).append(item.atoms)

    def all(self, label: Label) -> Sequence[tuple[Atom, ...]]:
        """The atoms of each line with the label."""
        return self._by_label.get(label, ())

    def one(self, label: Label) -> tuple[Atom, ...]:
        """The atoms of the only line with the label."""
        match self.all(label):
            case [atoms]:
                return atoms
            case _:
                raise BadSheetError(f"the sheet needs one line `{label.value}`")

    def text(self, label: Label) -> str:
        """The text of the only line with the label; a digest stands without quotes."""
        return _text(label, self.one(label))

    def texts(self, label: Label) -> tuple[str, ...]:
        """The text of each line with the label."""
        return tuple(_text(label, atoms) for atoms in self.all(label))

    def instant(self, label: Label) -> Instant:
        """The time in the only line with the label."""
        return parse_instant(self.text(label))


def _read(fields: Fields) -> SheetOf:
    attempt = fields.one(Label.ATTEMPT)
    planned = bool(fields.all(Label.PLAN))
    found = fields.all(Label.FOUND)
    retry, first = _retry(fields.one(Label.RETRY)) if fields.all(Label.RETRY) else (0, None)
    return SheetOf(
        namespace=fields.text(Label.NAMESPACE),
        digest=fields.text(Label.PART if planned else Label.DIGEST),
        plan=fields.text(Label.PLAN) if planned else "",
        step=_number(fields.one(Label.STEP)[0]) if fields.all(Label.STEP) else 0,
        question=fields.text(Label.QUESTION),
        narrows=fields.text(Label.NARROWS) if fields.all(Label.NARROWS) else "",
        retry=retry,
        first=first,
        action=fields.text(Label.ACTION),
        action_digest=fields.text(Label.ACTION_DIGEST),
        agent=fields.text(Label.AGENT),
        task=fields.text(Label.TASK),
        requester=fields.text(Label.REQUESTER),
        tool=fields.text(Label.TOOL),
        owner=fields.text(Label.OWNER) if fields.all(Label.OWNER) else "",
        gives=fields.text(Label.GIVES) if fields.all(Label.GIVES) else "",
        server=fields.text(Label.SERVER),
        server_identity=fields.text(Label.SERVER_IDENTITY),
        definition=fields.text(Label.DEFINITION),
        arguments=canonical(gather(read_leaf(atoms[1:]) for atoms in fields.all(Label.ARGUMENT))),
        operands=tuple(_operand(atoms, found) for atoms in fields.all(Label.OPERAND)),
        attempt=_number(attempt[0]),
        last_outcome=_text(Label.ATTEMPT, attempt[-1:]),
        grant=fields.text(Label.GRANT),
        scope=fields.text(Label.SCOPE),
        edition=_number(fields.one(Label.EDITION)[0]) if fields.all(Label.EDITION) else 0,
        policies=fields.texts(Label.POLICY),
        needs=tuple(map(_need, fields.all(Label.NEED))),
        bundle=fields.text(Label.BUNDLE),
        asked=fields.instant(Label.ASKED),
        deadline=fields.instant(Label.DEADLINE),
        nonce=fields.text(Label.NONCE),
        purpose=fields.text(Label.PURPOSE),
        reason=fields.text(Label.REASON),
    )


def _retry(atoms: tuple[Atom, ...]) -> tuple[int, First]:
    match atoms:
        case [
            number,
            "of",
            Quoted(text=name),
            "action",
            Quoted(text=action),
            "nonce",
            Quoted(text=nonce),
            "asked",
            str(asked),
            "until",
            str(deadline),
        ]:
            first = First(
                id=name,
                action=action,
                nonce=nonce,
                asked=parse_instant(asked),
                deadline=parse_instant(deadline),
            )
            return _number(number), first
        case _:
            raise BadSheetError(f"a line `{Label.RETRY.value}` has another form")


def _operand(atoms: tuple[Atom, ...], below: Iterable[tuple[Atom, ...]]) -> SheetOperand:
    match atoms:
        case [name, Quoted(text=kind), "at", Quoted(text=place)]:
            found = tuple(_finding(one) for one in below if one[0] == name)
            return SheetOperand(kind=kind, place=place, found=found)
        case _:
            raise BadSheetError(f"a line `{Label.OPERAND.value}` has another form")


def _finding(atoms: tuple[Atom, ...]) -> tuple[str, str]:
    match atoms:
        case [_, Quoted(text=name), "=", Quoted(text=text)]:
            return name, text
        case _:
            raise BadSheetError(f"a line `{Label.FOUND.value}` has another form")


def _need(atoms: tuple[Atom, ...]) -> SheetNeed:
    match atoms:
        case [_, persons, "of", Quoted(text=who), "for", Quoted(text=lifter)]:
            return SheetNeed(lifter=lifter, persons=_number(persons), who=who)
        case _:
            raise BadSheetError(f"a line `{Label.NEED.value}` has another form")


def _text(label: Label, atoms: tuple[Atom, ...]) -> str:
    match atoms:
        case [Quoted(text=text)]:
            return text
        case [str(word)]:
            return word
        case _:
            raise BadSheetError(f"the line `{label.value}` has another form")


def _number(atom: Atom) -> int:
    digits = atom.rstrip(",") if isinstance(atom, str) else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise BadSheetError("a number of the sheet can't be read")
    return int(digits)
