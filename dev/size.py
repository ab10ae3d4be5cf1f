"""Counts the house: code, docstrings and riddle words by room, with the budgets beside them: `dev/size`.

A *code line* holds code: blank lines, comments and docstrings are not counted. Exit status: 0; with `--check`
1 where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ("src", "taskbound")
ROOMS = ("src", "dev", "docs", "tests")
PAGES = ("README.md", "ARCHITECTURE.md")
GUIDES = "docs/guides"
RIDDLES = re.compile(
    r"\b(nobody|whoever|somebody|is none|of which|(?:is|are|was) told)\b".replace(" ", r"\s+"), re.IGNORECASE
)
SKIPPED = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
PROSE = frozenset({tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)})
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BUDGETS = {
    "code lines of src": 80_000,
    "files of src": 600,
    "docstring lines of src": 15_000,
    "code lines of tests": 95_000,
    "files in the fullest folder of src": 25,
    "median lines of a function of src": 10,
    "lines of the longest function of src": 60,
    "riddle words in 1,000 lines of src and prose": 2,
}


@dataclass(slots=True)
class Count:
    """What was counted in some files."""

    files: int = 0
    code: int = 0
    docs: int = 0
    lines: int = 0
    riddles: int = 0
    functions: list[int] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Add another count to this one."""
        for name in ("files", "code", "docs", "lines", "riddles"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.functions += other.functions


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="dev/size", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is exceeded")
    options = parser.parse_args(arguments)
    rooms, folders = count_tree(files())
    figures = measured(rooms, folders)
    over = [name for name, most in BUDGETS.items() if figures[name] > most]
    if options.json:
        print(json.dumps({"rooms": {name: shown(one) for name, one in rooms.items()}, "budgets": figures}))
    else:
        print("\n".join(table(rooms)) + "\n")
        for name, most in BUDGETS.items():
            print(f"{name:46}{figures[name]:>10,}  of {most:,}{'  over' if name in over else ''}")
    return 1 if options.check and over else 0


def files() -> list[Path]:
    """Every file that counts."""
    found = [
        path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if "__pycache__" not in path.parts
    ]
    return [*found, *(ROOT / page for page in PAGES)]


def count_tree(paths: Iterable[Path]) -> tuple[dict[str, Count], Counter[str]]:
    """Count files by room.

    Returns:
        Counts by room, `src` first; the number of Python files in each folder of `src`.
    """
    rooms, folders = defaultdict[str, Count](Count), Counter[str]()
    for path in paths:
        parts = path.relative_to(ROOT).parts
        if path.suffix == ".py":
            rooms[room_of(parts)].add(count_python(path.read_text(encoding="utf-8")))
            if parts[: len(PACKAGE)] == PACKAGE:
                folders["/".join(parts[:-1])] += 1
        elif path.suffix == ".md" and "/".join(parts).startswith((*PAGES, GUIDES)):
            text = path.read_text(encoding="utf-8")
            rooms["prose"].add(Count(files=1, lines=len(text.splitlines()), riddles=riddles(text)))
    return dict(sorted(rooms.items(), key=lambda row: (not row[0].startswith("src"), row[0]))), folders


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a file: the first folder in the package, else the first folder."""
    if parts[: len(PACKAGE)] == PACKAGE:
        return f"src/{parts[2]}" if len(parts) > len(PACKAGE) + 1 else "src"
    return parts[0]


def count_python(text: str) -> Count:
    """Count one file."""
    tree = ast.parse(text)
    docs = {line for node in documented(tree) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    code = code_lines(text) - docs
    functions = [
        sum(1 for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in code)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return Count(
        files=1,
        code=len(code),
        docs=len(docs),
        lines=len(text.splitlines()),
        riddles=riddles(prose_of(text)),
        functions=functions,
    )


def documented(tree: ast.Module) -> Iterator[ast.stmt]:
    """The docstrings: strings that stand alone, at the head of a body or below a name."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            for one in node.body:
                value = one.value if isinstance(one, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield one


def code_lines(text: str) -> set[int]:
    """The numbers of the lines that hold a token of code."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SKIPPED:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def prose_of(text: str) -> str:
    """The comments and strings of a Python file: its sentences, without names and without `is None`."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string.lstrip("# ") for token in tokens if token.type in PROSE)


def riddles(text: str) -> int:
    """How many riddle words a text has, also across the end of a line."""
    return len(RIDDLES.findall(text))


def measured(rooms: dict[str, Count], folders: Counter[str]) -> dict[str, float]:
    """The figures that have a budget."""
    src = Count()
    for name, one in rooms.items():
        if name.startswith("src"):
            src.add(one)
    prose = rooms.get("prose", Count())
    return {
        "code lines of src": src.code,
        "files of src": src.files,
        "docstring lines of src": src.docs,
        "code lines of tests": rooms.get("tests", Count()).code,
        "files in the fullest folder of src": max(folders.values(), default=0),
        "median lines of a function of src": statistics.median(src.functions or [0]),
        "lines of the longest function of src": max(src.functions, default=0),
        "riddle words in 1,000 lines of src and prose": round(
            1000 * (src.riddles + prose.riddles) / max(1, src.lines + prose.lines), 1
        ),
    }


def table(rooms: dict[str, Count]) -> Iterator[str]:
    """The rooms as a Markdown table."""
    yield "| room | files | code | docstrings | riddle words |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, one in rooms.items():
        yield f"| {name} | {one.files:,} | {one.code:,} | {one.docs:,} | {one.riddles:,} |"


def shown(one: Count) -> dict[str, int]:
    """A room's figures."""
    return {"files": one.files, "code": one.code, "docstrings": one.docs, "riddles": one.riddles}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
