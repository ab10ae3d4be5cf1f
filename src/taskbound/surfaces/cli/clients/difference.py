"""How a configuration will be rewritten, for a person to look at before it is.

1. Shown is a unified difference of the objects of servers that change, and of nothing else in the file: the
   rest is the client's own, and not all of it is anybody's business (`~/.claude.json` holds an account).
2. Secrets and comments are not in it (`masking`). An object too long to look at is not shown, and is said not
   to be.
3. Texts of the file stand in it as they are; whoever prints it escapes them.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.clients.jsonc import parse_jsonc
from taskbound.surfaces.cli.clients.masking import masked_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.surfaces.cli.clients.jsonc import Document


_NAME: Final = re.compile(r'\s*"[^"]*"\s*:\s*')
_AROUND: Final = 2
_MOST_LINES: Final = 5_000
_LONGEST: Final = 400
"""Characters of a line; one that is longer is cut, and says so."""


def difference(before: str, after: str, objects: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The lines of the difference, without those that name the file.

    Args:
        before: The file's text, which can be read.
        after: What it will be.
        objects: The way to each object of servers that changes.
    """
    old, new = parse_jsonc(before), parse_jsonc(after)
    return tuple(line for keys in objects for line in _hunks(_part(old, keys), _part(new, keys)))


def _part(document: Document, keys: Sequence[str]) -> tuple[int, list[str]]:
    """The number of the line on which an object begins, and its lines, secrets masked (rules 1 and 2)."""
    node = document.root.find(*keys)
    if node is None:
        return 1, []
    before = document.text[: node.start]
    masked = masked_text(document.text[: node.end], [node], document.comments)
    # From its name on, when that is all that stands before it on its line.
    start = before.rfind("\n") + 1
    alone = _NAME.fullmatch(before[start:]) is not None
    return document.line_of(node.start), masked[start if alone else node.start :].splitlines()


def _hunks(old: tuple[int, list[str]], new: tuple[int, list[str]]) -> Iterator[str]:
    (first, before), (second, after) = old, new
    if max(len(before), len(after)) > _MOST_LINES:
        yield f"@@ -{first},{len(before)} +{second},{len(after)} @@ too long to be shown"
        return
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_AROUND):
        a, b = group[0][1], group[0][3]
        sizes = group[-1][2] - a, group[-1][4] - b
        yield f"@@ -{first + a},{sizes[0]} +{second + b},{sizes[1]} @@"
        for tag, a, end, b, last in group:
            if tag == "equal":
                yield from (f" {_cut(line)}" for line in before[a:end])
                continue
            yield from (f"-{_cut(line)}" for line in before[a:end])
            yield from (f"+{_cut(line)}" for line in after[b:last])


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}… ({len(line) - _LONGEST} more characters)"
