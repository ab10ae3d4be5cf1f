r"""An argument path: which part of an action's arguments a constraint speaks about.

1. A path is a name, ``name.name`` into an object, and ``[*]`` for each item of a list:
   ``files[*].path``. There are no indexes: an item is never named by its place.
2. A name that holds ``. [ ] * " \``, a control or a slash in front is written in double quotes
   with JSON's escapes: ``"a.b".c``. A path has one text: quotes that need not be there are dropped.
3. A path has at most 16 steps and 256 characters, and no empty name.
"""

from __future__ import annotations

import re
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.show import bare, is_secret_name, quote

if TYPE_CHECKING:
    from taskbound.core.scope.place import Place


MAX_STEPS: Final = 16
MAX_LENGTH: Final = 256
_RESERVED: Final = re.compile(r"^/|[.\[\]*\"\\\x00-\x1f\x7f-\x9f]")
# One step with what separates it from the one before; every alternative is linear.
_STEP: Final = re.compile(
    r'(?P<items>\[\*\])|(?P<dot>\.)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^./\[\]*"\\][^.\[\]*"\\]*))'
)


class Items(Enum):
    """The step from a list to each of its items."""

    EACH = "[*]"


Step: TypeAlias = str | Items


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ArgumentPath:
    """Steps from the arguments inward."""

    text: str
    """The path as the canonical form writes it; paths are compared and sorted by it."""
    steps: tuple[Step, ...] = field(compare=False)
    """Names, and `Items.EACH` for the items of a list; the first is a name."""

    def __str__(self) -> str:
        """The path as it is written in a scope."""
        return self.text

    @property
    def argument(self) -> str:
        """The name of the top-level argument."""
        (name, *_) = self.steps
        return name if isinstance(name, str) else ""

    @property
    def hint(self) -> str:
        """The name that may tell that a value here is a secret: the first that is like one, or the last."""
        return hint_of(self.steps)

    def is_below(self, other: ArgumentPath) -> bool:
        """Whether the path goes on from another one."""
        return len(self.steps) > len(other.steps) and self.steps[: len(other.steps)] == other.steps


def hint_of(steps: tuple[Step | int, ...]) -> str:
    """The name by which a value at these steps may be known for a secret."""
    names = [step for step in steps if isinstance(step, str)]
    return next((name for name in names if is_secret_name(name)), names[-1] if names else "")


def label(steps: tuple[Step | int, ...]) -> str:
    """The steps for a sentence, items by their place where it is known; names that are odd are quoted."""
    text = ""
    for step in steps:
        match step:
            case int():
                text += f"[{step}]"
            case Items():
                text += step.value
            case str():
                name = quote(step) if "." in step else bare(step)
                text += f".{name}" if text else name
    return text


def path_of(steps: tuple[Step, ...]) -> ArgumentPath:
    """The path of these steps."""
    text = ""
    for step in steps:
        if isinstance(step, Items):
            text += step.value
        else:
            text += ("." if text else "") + (canonical(step).decode() if _RESERVED.search(step) else step)
    return ArgumentPath(text=text, steps=steps)


def parse_argument_path(text: str, place: Place) -> ArgumentPath:
    """Read a path as a scope writes it.

    Raises:
        ScopeSyntaxError: It is empty, too long, or not written as a path is.
    """
    if not text:
        raise place.fault("is an argument without a name")
    if len(text) > MAX_LENGTH:
        raise place.fault(f"is longer than {MAX_LENGTH} characters")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        # a dot stands before each name but the first, and `[*]` before none
        if found is None or (found["items"] is None) == (bool(steps) != bool(found["dot"])):
            raise place.fault(_fault(text, at))
        steps.append(Items.EACH if found["items"] else _name(found["quoted"], found["plain"], place))
        at = found.end()
    if isinstance(steps[0], Items):
        raise place.fault("must begin with the name of an argument")
    if len(steps) > MAX_STEPS:
        raise place.fault(f"has {len(steps)} steps; at most {MAX_STEPS} are allowed")
    return path_of(tuple(steps))


def _name(quoted: str | None, plain: str, place: Place) -> str:
    if quoted is None:
        if _RESERVED.search(plain):
            raise place.fault("holds a control character in a name without quotes")
        return plain
    try:
        name = parse_document(f'"{quoted}"'.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise place.fault("holds a name in quotes that is not a JSON text") from error
    if not isinstance(name, str) or not name:
        raise place.fault("holds an empty name")
    return name


def _fault(text: str, at: int) -> str:
    if text.startswith("[", at):
        return f"holds `[` at character {at + 1}; only `[*]`, for each item, is known"
    return (
        f'is no path at character {at + 1}: a name that holds . [ ] * " \\, a control, or / in front '
        'stands in double quotes, and names are joined by a dot, as in `files[*]."a.b"`'
    )
