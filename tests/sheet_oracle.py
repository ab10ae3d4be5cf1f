"""The oracle of sheets: from the lines that an approver saw back to the exact action or plan.

1. What is read is rendered again, and has to be the same text to the last byte: nothing can be
   added, left out, moved or spelled in another way.
2. So what follows from the rest (counts, *beware*, *note*) is not read but compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from taskbound.core.action import LIMITS, JsonValue, canonical, parse_document
from taskbound.core.approval.question import First
from taskbound.core.approval.sheet import (
    PLAN_LIMITS,
    SHEET_LIMITS,
    SHEET_WIDTH,
    BadSheetError,
    Label,
    PlanSheetOf,
    Sheet,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
    render_plan_sheet,
    render_sheet,
)
from taskbound.core.approval.sheet.lines import Atom, Item, Leaf, Quoted, is_plain
from taskbound.core.clock import Instant, parse_instant
from taskbound.core.errors import MalformedError

_STEP: Final = re.compile(rf"  {Label.STEP.value:<12}\| [0-9]+ of [0-9]+\n")
_GOES_ON: Final = ">"
_LINE: Final = re.compile(r"  ([a-z -]{12})([|>]) ([^\n]+)")
_ATOM: Final = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^ "]+))(?: |$)')
_PLACE: Final = re.compile(r"\[(0|[1-9][0-9]{0,5})\]")
_LITERALS: Final[dict[str, JsonValue]] = {"true": True, "false": False, "null": None}
_MEANINGS: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
_ESCAPE: Final = re.compile(r'\\(?:([\\"nrt])|u\{([0-9A-F]{1,6})(?:x([1-9][0-9]{0,6}))?\})?')
_LAST: Final = 0x10FFFF
_DIGITS: Final = 18


def parse_sheet(text: str, limits: SheetLimits = SHEET_LIMITS) -> SheetOf:
    """What the sheet is of.

    Raises:
        BadSheetError: No action has this sheet (rule 1).
    """
    if len(text) > limits.lines * (SHEET_WIDTH + 1):
        raise BadSheetError("the text is longer than any sheet")
    try:
        found = _read(_Fields(_read_items(text)))
        again = render_sheet(found, limits)
    except BadSheetError:
        raise
    except MalformedError as error:
        raise BadSheetError(f"the sheet can't be read: {error.message}") from error
    if not isinstance(again, Sheet) or again.text != text:  # 1
        raise BadSheetError("no action is shown like this")
    return found


class _Fields:
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


def _read(fields: _Fields) -> SheetOf:
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
        arguments=canonical(_gather(_read_leaf(atoms[1:]) for atoms in fields.all(Label.ARGUMENT))),
        operands=tuple(_operand(atoms, found) for atoms in fields.all(Label.OPERAND)),
        attempt=_number(attempt[0]),
        last_outcome=_text(Label.ATTEMPT, attempt[-1:]),
        grant=fields.text(Label.GRANT),
        scope=fields.text(Label.SCOPE),
        edition=_number(fields.one(Label.EDITION)[0]),
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


def parse_plan_sheet(text: str, limits: SheetLimits = PLAN_LIMITS) -> PlanSheetOf:
    """What the sheet is of.

    Raises:
        BadSheetError: No plan has this sheet (rule 3).
    """
    if len(text) > limits.lines * (SHEET_WIDTH + 1):
        raise BadSheetError("the text is longer than any sheet of a plan")
    head, *steps = _STEP.split(text)  # 4
    if not steps or not steps[-1].endswith("\n"):
        raise BadSheetError("the sheet of a plan has no steps, or is torn")
    *whole, last = steps
    body, end = last[:-1].rpartition("\n")[0] + "\n", last[:-1].rpartition("\n")[2] + "\n"
    try:
        fields = _Fields(_read_items(head + end))
        found = PlanSheetOf(
            namespace=fields.text(Label.NAMESPACE),
            digest=fields.text(Label.DIGEST),
            plan=fields.text(Label.PLAN),
            task=fields.text(Label.TASK),
            requester=fields.text(Label.REQUESTER),
            nonce=fields.text(Label.NONCE),
            asked=fields.instant(Label.ASKED),
            deadline=fields.instant(Label.DEADLINE),
            steps=tuple(parse_sheet(one) for one in (*whole, body)),
        )
        again = render_plan_sheet(found, limits)
    except BadSheetError:
        raise
    except MalformedError as error:
        raise BadSheetError(f"the sheet can't be read: {error.message}") from error
    if not isinstance(again, Sheet) or again.text != text:
        raise BadSheetError("no plan is shown like this")
    return found


def _read_items(text: str) -> tuple[Item, ...]:
    """The items of a sheet's text, in order.

    Raises:
        BadSheetError: It has another form.
    """
    if not text.endswith("\n"):
        raise BadSheetError("the last line of the sheet is missing or torn")
    found: list[tuple[Label, list[tuple[bool, str]]]] = []
    for number, line in enumerate(text[:-1].split("\n"), 1):
        where = f"line {number}"
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise BadSheetError("a line has another form than those of a sheet", where=where)
        name, mark, content = parts.groups()
        atoms = _read_atoms(content, where)
        if mark != _GOES_ON:
            found.append((_label(name.rstrip(" "), where), atoms))
        elif found and not name.strip(" "):
            _join(found[-1][1], atoms)
        else:
            raise BadSheetError("a line goes on without one above it", where=where)
    return tuple(
        Item(label=label, atoms=tuple(Quoted(text=unquote(it)) if quoted else it for quoted, it in atoms))
        for label, atoms in found
    )


def _label(name: str, where: str) -> Label:
    try:
        return Label(name)
    except ValueError:
        raise BadSheetError("a line has a label that no sheet has", where=where) from None


def _read_atoms(content: str, where: str) -> list[tuple[bool, str]]:
    """The atoms of one line, and whether each is quoted; a text is not yet read (it may go on)."""
    atoms: list[tuple[bool, str]] = []
    at = 0
    while at < len(content):
        found = _ATOM.match(content, at)
        if found is None:
            raise BadSheetError("a text has no end, or words are torn", where=where)
        quoted, word = found.groups()
        atoms.append((False, word) if quoted is None else (True, quoted))
        at = found.end()
    return atoms


def _join(above: list[tuple[bool, str]], below: list[tuple[bool, str]]) -> None:
    """Put the atoms of a line to those above it; a text at both sides of the break is one (rule 4)."""
    if above[-1][0] and below[0][0]:
        above[-1] = (True, above[-1][1] + below.pop(0)[1])
    above.extend(below)


def _gather(found: Iterable[Leaf]) -> dict[str, JsonValue]:
    """The object that has these leaves.

    Raises:
        BadSheetError: No object has them.
    """
    arguments: dict[str, JsonValue] = {}
    for leaf in found:
        here: JsonValue = arguments
        for step, then in zip(leaf.way, leaf.way[1:], strict=False):
            here = _enter(here, step, {} if isinstance(then, str) else [])
        _put(here, leaf.way[-1], leaf.value)
    return arguments


def _read_leaf(atoms: Sequence[Atom]) -> Leaf:
    """The leaf that is shown so.

    Raises:
        BadSheetError: None is.
    """
    if "=" not in atoms:
        raise BadSheetError("an argument has no value")
    at = atoms.index("=")
    way = tuple(_steps(atoms[:at]))
    if not 0 < len(way) <= LIMITS.depth:
        raise BadSheetError("the way to an argument is too long or missing")
    return Leaf(way=way, value=_read_value(atoms[at + 1 :]))


def _steps(atoms: Sequence[Atom]) -> Iterator[str | int]:
    for atom in atoms:
        match atom:
            case Quoted(text=key):
                yield key
            case ".":
                continue
            case _:
                found = _PLACE.fullmatch(atom)
                if found is None:
                    raise BadSheetError("the way to an argument can't be read")
                yield int(found[1])


def _read_value(atoms: Sequence[Atom]) -> JsonValue:
    match atoms:
        case ["text", Quoted(text=text)]:
            return text
        case ["number", str(digits)]:
            return _json_number(digits)
        case ["empty", "object" | "list" as what]:
            return {} if what == "object" else []
        case ["true" | "false" | "null" as literal]:
            return _LITERALS[literal]
        case _:
            raise BadSheetError("an argument has a value of no kind that is known")


def _json_number(digits: str) -> JsonValue:
    try:
        value = parse_document(digits.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise BadSheetError("an argument is no number") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSheetError("an argument is no number")
    return value


def _enter(here: JsonValue, step: str | int, fresh: JsonValue) -> JsonValue:
    """What stands at the step, made when it is the next that is missing."""
    match here, step:
        case dict(), str():
            return here.setdefault(step, fresh)
        case list(), int() if step < len(here):
            return here[step]
        case _:
            _put(here, step, fresh)
            return fresh


def _put(here: JsonValue, step: str | int, value: JsonValue) -> None:
    match here, step:
        case dict(), str() if step not in here:
            here[step] = value
        case list(), int() if step == len(here):
            here.append(value)
        case _:
            raise BadSheetError("two arguments can't stand in one value")


def unquote(shown: str) -> str:
    """The text that is meant (rule 5).

    Raises:
        BadSheetError: It has an escape that is none, or a repetition without end.
    """
    if sum(int(escape[3] or 1) for escape in _ESCAPE.finditer(shown)) > SHEET_LIMITS.size:
        raise BadSheetError("a text would be longer than a sheet shows")
    if is_plain(shown):
        return shown
    return _ESCAPE.sub(_meaning, shown)


def _meaning(escape: re.Match[str]) -> str:
    short, code, count = escape.groups()
    if short is not None:
        return _MEANINGS[short]
    if code is None or int(code, 16) > _LAST:
        raise BadSheetError("a backslash begins no escape that is known")
    return chr(int(code, 16)) * int(count or 1)
