"""From the values that were seen at one place to the constraints that permit them, the best one first.

1. One value: exactly that one.
2. Numbers: from the smallest to the largest.
3. Three or more absolute paths: below the directory that they have in common, unless that is the root. Where
   roots are known it is never above them: below a directory of each root.
4. Three or more URLs: of the hosts that were seen. More than eight e-mail addresses: of the domains that
   were seen, if those are eight at most.
5. Up to eight values: one of them.
6. More texts: what they begin with, if that is four characters or more and no path; else any. Both are broad.
7. At the end, for a ceiling that takes nothing wider: one of all values.
8. What looks like a secret is never written: any value, or nothing where the ceiling doesn't take that.
"""

from __future__ import annotations

from posixpath import commonpath
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.choice import MAX_CHOICES
from taskbound.core.scope.constraints.constraint import read_constraint
from taskbound.core.scope.constraints.email import read_email
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.constraints.url import read_url
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.number import is_number
from taskbound.core.scope.place import Place
from taskbound.core.scope.posix import resolve
from taskbound.core.scope.show import is_secret_name, show
from taskbound.core.scope.verdict import Met, Unmet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.suggest.observe import Seen


_FEW: Final = 8
_PATHS: Final = 3
_BEGINNING: Final = 4
_HIDDEN: Final = show("x", "password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Widening:
    """What a suggestion permits beyond what was seen, and by which rule."""

    grant: str
    """The id of the grant."""
    path: str
    """The place; empty for the grant as a whole."""
    what: str
    """What it permits now, in a person's words."""
    why: str
    broad: bool = False
    """Whether a person should look at it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One constraint that permits all that was seen."""

    body: dict[str, JsonValue]
    """As a scope writes it."""
    why: str
    """Empty when nothing was widened."""
    broad: bool = False


def choices_of(seen: Seen, roots: Sequence[str]) -> tuple[Choice, ...]:
    """The constraints for one place, the best one first; each permits every value that was seen.

    Args:
        seen: The place.
        roots: Directories that the ceiling grants there; none when nothing is known.
    """
    distinct = list({canonical(one): one for one in seen.values}.values())
    if any(_is_hidden(one, seen.path.hint) for one in distinct):
        return (Choice(body={"any": True}, why="what looks like a secret is not written here", broad=True),)
    if len(distinct) == 1:
        return (Choice(body={"equals": distinct[0]}, why=""),)  # 1
    found = [one for one in _proposed(distinct, roots) if _permits_all(one, distinct)]
    if len(distinct) <= MAX_CHOICES and not any("one_of" in one.body for one in found):
        found.append(Choice(body={"one_of": distinct}, why="the ceiling takes nothing wider"))  # 7
    return tuple(found)


def _proposed(distinct: list[JsonValue], roots: Sequence[str]) -> Iterator[Choice]:
    texts = [one for one in distinct if isinstance(one, str)]
    numbers = [one for one in distinct if is_number(one)]
    count = len(distinct)
    if len(numbers) == count:  # 2
        low, high = min(numbers), max(numbers)
        yield Choice(
            body={"range": {"min": low, "max": high}},
            why=f"{count} numbers were seen, from {show(low)} to {show(high)}",
        )
        return
    if len(texts) == count:
        yield from _paths(texts, roots)  # 3
        yield from _urls(texts)  # 4
        yield from _emails(texts)
    if count <= _FEW:  # 5
        yield Choice(body={"one_of": distinct}, why="")
    if len(texts) == count:
        start = _beginning(texts)
        if count > _FEW and len(start) >= _BEGINNING and not start.startswith("/"):  # 6
            why = f"{count} texts were seen, and all begin so"
            yield Choice(body={"prefix": start}, why=why, broad=True)
    yield Choice(body={"any": True}, why=f"{count} values were seen, with nothing in common", broad=True)


def _paths(texts: list[str], roots: Sequence[str]) -> Iterator[Choice]:
    resolved = [resolve(one) for one in texts]
    paths = [one for one in resolved if not isinstance(one, Unmet)]
    if len(texts) < _PATHS or len(paths) < len(texts):
        return
    why = f"{len(texts)} paths were seen there"
    common = _directory(paths)
    if common != "/":
        yield Choice(body={"below": common}, why=why)
    parts = [[one for one in paths if _is_below(one, root)] for root in roots if root != "/"]
    below = sorted({_directory(part) for part in parts if part})
    if len(below) == 1:
        yield Choice(body={"below": below[0]}, why=f"{why}, below a root of the ceiling")
    elif below:
        options: list[JsonValue] = [{"below": one} for one in below]
        yield Choice(body={"any_of": options}, why=f"{why}, below roots of the ceiling")


def _urls(texts: list[str]) -> Iterator[Choice]:
    read = [read_url(one) for one in texts]
    urls = [one for one in read if not isinstance(one, Unmet)]
    if len(texts) < _PATHS or len(urls) < len(texts):
        return
    names: list[JsonValue] = [*sorted({one.host for one in urls})]
    schemes: list[JsonValue] = [*sorted({one.scheme for one in urls})]
    if len(names) <= _FEW:
        yield Choice(
            body={"url": {"schemes": schemes, "names": names}},
            why=f"{len(texts)} URLs of {len(names)} hosts were seen",
        )


def _emails(texts: list[str]) -> Iterator[Choice]:
    addresses = [one for one in map(read_email, texts) if one is not None]
    domains: list[JsonValue] = [*sorted({domain for _, domain in addresses})]
    if len(texts) > _FEW and len(addresses) == len(texts) and len(domains) <= _FEW:
        yield Choice(
            body={"email": {"domains": domains}},
            why=f"{len(texts)} addresses of {len(domains)} domains were seen",
            broad=True,
        )


def _directory(paths: Sequence[str]) -> str:
    """The deepest directory that holds all of these paths."""
    return commonpath(paths)


def _beginning(texts: Sequence[str]) -> str:
    """What all of these texts begin with."""
    first, last = min(texts), max(texts)
    for at, char in enumerate(first):
        if last[at : at + 1] != char:
            return first[:at]
    return first


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else f"{root}/")


def _permits_all(choice: Choice, values: Sequence[JsonValue]) -> bool:
    """Whether the constraint can be written and permits every value: the rules above only propose."""
    try:
        rule = read_constraint(choice.body, Place(), CONSTRAINTS)
    except ScopeSyntaxError:
        return False
    return all(isinstance(rule.permits(one), Met) for one in values)


def _is_hidden(value: JsonValue, name: str) -> bool:
    match value:
        case str():
            return show(value, name) == _HIDDEN
        case list():
            return any(_is_hidden(one, name) for one in value)
        case dict():
            return any(
                _is_hidden(one, name if is_secret_name(name) else inner) for inner, one in value.items()
            )
        case _:
            return False
