"""What a house rule sees, the files of a tree, and what it can say about them, a finding."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[2]
EXEMPTIONS = Path(__file__).with_name("exemptions.toml")

_SKIPPED_FOLDERS = frozenset({"__pycache__", "build", "dist", "node_modules"})
_FEWEST_WORDS_OF_A_REASON = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where a rule is broken, with a sentence that says what to do."""

    rule: str
    path: str
    sentence: str
    line: int = 0
    name: str = ""

    def __str__(self) -> str:
        """Give the place, the sentence and the rule's name."""
        return f"{self.path}:{self.line}: {self.sentence} [{self.rule}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Leave to break one rule in one place, for a reason."""

    rule: str
    path: str
    reason: str
    name: str = ""

    def covers(self, finding: Finding) -> bool:
        """Tell whether this is the finding's rule and place."""
        return (
            self.rule == finding.rule
            and fnmatchcase(finding.path, self.path)
            and self.name in {"", finding.name}
        )


Rule: TypeAlias = Callable[[Path], Iterator[Finding]]


def read_exemptions(path: Path = EXEMPTIONS) -> tuple[Exemption, ...]:
    """Every row of the one table of exemptions."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("exemption", [])
    return tuple(Exemption(**row) for row in rows)


def remaining(findings: Iterable[Finding], exemptions: Iterable[Exemption]) -> list[Finding]:
    """The findings that no exemption covers."""
    rows = tuple(exemptions)
    return [one for one in findings if not any(row.covers(one) for row in rows)]


def idle(findings: Iterable[Finding], exemptions: Iterable[Exemption]) -> list[str]:
    """What is wrong with the table itself: rows that cover nothing, or give no reason."""
    seen = tuple(findings)
    wrong = [
        f"exemption of `{row.path}` from `{row.rule}` covers nothing any more: delete it"
        for row in exemptions
        if not any(row.covers(one) for one in seen)
    ]
    wrong += [
        f"exemption of `{row.path}` from `{row.rule}` gives no reason: write why in a sentence"
        for row in exemptions
        if len(row.reason.split()) < _FEWEST_WORDS_OF_A_REASON
    ]
    return wrong


def files(root: Path, *suffixes: str, under: tuple[str, ...] = ("",)) -> list[Path]:
    """The tree's own files with one of the suffixes (all files without any), in order of their paths."""
    found: list[Path] = []
    for start in under:
        if (root / start).is_dir():
            found.extend(_walk(root / start))
    return sorted({one for one in found if not suffixes or one.suffix in suffixes})


def _walk(folder: Path) -> Iterator[Path]:
    for one in folder.iterdir():
        if one.is_symlink():
            continue
        if one.is_file():
            yield one
        elif one.is_dir() and not _foreign(one):
            yield from _walk(one)


def _foreign(folder: Path) -> bool:
    hidden = folder.name.startswith(".") and folder.name != ".ci"
    made = folder.name in _SKIPPED_FOLDERS or folder.suffix == ".egg-info"
    return hidden or made or (folder / "pyvenv.cfg").exists()


def relative(path: Path, root: Path) -> str:
    """The path as a finding names it."""
    return path.relative_to(root).as_posix()


@functools.cache
def _parsed(path: Path, _changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def syntax(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return _parsed(path, path.stat().st_mtime_ns)


Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def nodes(path: Path) -> Iterator[ast.stmt | ast.expr]:
    """Every statement and expression of the file."""
    yield from _listed(path, path.stat().st_mtime_ns)[0]


def functions(path: Path) -> Iterator[Function]:
    """Every function and method of the file, however deep."""
    yield from _listed(path, path.stat().st_mtime_ns)[1]


@functools.cache
def _listed(path: Path, changed: int) -> tuple[tuple[ast.stmt | ast.expr, ...], tuple[Function, ...]]:
    listed = tuple(beneath(_parsed(path, changed)))
    return listed, tuple(one for one in listed if isinstance(one, Function))


def beneath(top: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    """Every statement and expression under a node, however deep."""
    waiting: list[object] = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt | ast.expr):
            yield node
        if isinstance(node, ast.AST):
            for name in node._fields:
                match getattr(node, name, None):
                    case list() as several:
                        waiting.extend(several)
                    case ast.AST() as one if not isinstance(one, ast.expr_context):
                        waiting.append(one)
