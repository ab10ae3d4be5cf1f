"""Cedar's text before Cedar reads it: its policies one by one, and where each word stands.

1. Cedar follows an expression as deep as it goes, until the process has no stack left
   (measured: 20,000 times `true &&` ends it). So what nests is counted first: at most 32
   brackets in each other and 200 steps in a policy, at most 10,000 policies and 8 MiB.
2. Cedar names no line: a place is found by the word that it complains about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.policy import PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_POLICIES: Final = 10_000
MAX_STEPS: Final = 200
"""Operators, brackets, accesses and conditions of one policy."""
MAX_BRACKETS: Final = 32
MAX_BUNDLE: Final = 8 * 1_048_576
"""Characters of a bundle."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*|[0-9]+)"""
    r"""|(?P<mark>::|&&|\|\||==|!=|<=|>=|.)""",
    re.DOTALL,
)
_NESTING: Final = frozenset({"has", "if", "in", "is", "like"})
_FREE: Final = frozenset({",", ":", "::", ";", "@", ")", "]", "}"})
_OPEN: Final = frozenset("([{")
_CLOSE: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One token and where it stands in its file; both counts start at 1."""

    text: str
    line: int
    column: int
    end: int
    """Where it ends in the text of its piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One policy's text."""

    text: str
    words: tuple[Word, ...]

    def as_permit(self) -> str:
        """The same policy as a permit without annotations: it matches and errs as the policy does.

        Raises:
            PolicySyntaxError: It says neither `permit` nor `forbid`.
        """
        before = ""
        for word in self.words:
            if word.text in {"permit", "forbid"} and before != "@":
                return f"permit{self.text[word.end :]}"
            before = word.text
        raise PolicySyntaxError("a policy says neither `permit` nor `forbid`")

    def find(self, *wanted: str) -> Word:
        """The first place of one of these words, tried in order; else where the policy begins."""
        for one in wanted:
            for word in self.words:
                if word.text in {one, f'"{one}"'}:
                    return word
        return self.words[0]


def split(text: str) -> tuple[Piece, ...]:
    """The policies of a text, in order.

    Raises:
        PolicySyntaxError: There is more of it than rule 1 allows; `where` is `line:column`.
    """
    if len(text) > MAX_BUNDLE:
        raise PolicySyntaxError(f"the bundle is longer than {MAX_BUNDLE} characters")
    pieces: list[Piece] = []
    words: list[Word] = []
    start = steps = depth = 0
    for kind, token, at, line, column in _tokens(text):
        start = start if words else at
        words.append(Word(text=token, line=line, column=column, end=at + len(token) - start))
        if kind == "mark":
            depth += (token in _OPEN) - (token in _CLOSE)
        steps += (kind == "mark" and token not in _FREE) or (kind == "word" and token in _NESTING)
        if steps > MAX_STEPS or depth > MAX_BRACKETS:  # 1
            raise PolicySyntaxError(
                f"a policy has more than {MAX_STEPS} operators or {MAX_BRACKETS} brackets in each other",
                where=f"{words[0].line}:{words[0].column}",
                remedy="write a set with `contains`, or make several policies of it",
            )
        if (kind, token) == ("mark", ";"):
            pieces.append(Piece(text=text[start : at + 1], words=tuple(words)))
            words, steps, depth = [], 0, 0
            if len(pieces) > MAX_POLICIES:
                raise PolicySyntaxError(
                    f"the bundle has more than {MAX_POLICIES} policies", where=f"{line}:1"
                )
    if words:
        pieces.append(Piece(text=text[start:], words=tuple(words)))
    return tuple(pieces)


def _tokens(text: str) -> Iterator[tuple[str, str, int, int, int]]:
    """Kind, text, offset, line and column of each token that is not space."""
    line, begins = 1, 0
    for match in _TOKEN.finditer(text):
        kind, token, at = match.lastgroup or "mark", match.group(), match.start()
        if kind != "space":
            yield kind, token, at, line, at - begins + 1
        lines = token.count("\n")
        if lines:
            line += lines
            begins = at + token.rindex("\n") + 1
