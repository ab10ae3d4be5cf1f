"""Rules about the shape of files: a sentence on top, budgets of lines, what is let out or left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, files, functions, nodes, relative, syntax

CODE = ("src", "dev", "docs")
FUNCTION_LINES = 60
FILE_LINES = 600
PAGE_LINES = {"ARCHITECTURE.md": 200}
PAGE_WORDS = {"AGENTS.md": 600}
_DATACLASS_WORDS = ("frozen", "slots", "kw_only")


def module_sentence(root: Path) -> Iterator[Finding]:
    """Every module starts with one sentence that says what it is for."""
    for path in files(root, ".py", under=CODE):
        first = (ast.get_docstring(syntax(path)) or "").split("\n", 1)[0].strip()
        if not first.endswith((".", ":")):
            yield Finding(
                rule="module-sentence",
                path=relative(path, root),
                line=1,
                sentence="start the module with a docstring whose first line is one sentence: what it is for",
            )


def file_budget(root: Path) -> Iterator[Finding]:
    """No file is longer than one concept needs."""
    for path in files(root, ".py"):
        name = relative(path, root)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            yield Finding(
                rule="file-budget",
                path=name,
                line=lines,
                sentence=f"{lines} lines, and a file has at most {FILE_LINES}: split it by concept",
            )


def function_budget(root: Path) -> Iterator[Finding]:
    """No function is longer than a screen."""
    for path in files(root, ".py"):
        for one in functions(path):
            lines = (one.end_lineno or one.lineno) - one.lineno + 1
            if lines > FUNCTION_LINES:
                yield Finding(
                    rule="function-budget",
                    path=relative(path, root),
                    line=one.lineno,
                    name=one.name,
                    sentence=f"`{one.name}` has {lines} lines, and may have {FUNCTION_LINES}: split it",
                )


def public_names(root: Path) -> Iterator[Finding]:
    """Only a package's `__init__` lists names in `__all__`; elsewhere an underscore says what is private."""
    for path in files(root, ".py", under=("src",)):
        if path.name == "__init__.py":
            continue
        for node in syntax(path).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
                yield Finding(
                    rule="public-names",
                    path=relative(path, root),
                    line=node.lineno,
                    sentence="delete `__all__`: only a package's `__init__` has one",
                )


def no_assert(root: Path) -> Iterator[Finding]:
    """No line of the package leans on `assert`, which `python -O` takes out (reliability F43)."""
    for path in files(root, ".py", under=("src",)):
        for node in nodes(path):
            if isinstance(node, ast.Assert):
                yield Finding(
                    rule="no-assert",
                    path=relative(path, root),
                    line=node.lineno,
                    sentence="`python -O` removes an assert: raise an error, or use `assert_never`",
                )


def frozen_values(root: Path) -> Iterator[Finding]:
    """A value of core never changes and is never mixed up: frozen, with slots, made by keyword."""
    for path in files(root, ".py", under=("src/taskbound/core",)):
        for node in nodes(path):
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if ast.unparse(decorator).split("(", 1)[0] not in {"dataclass", "dataclasses.dataclass"}:
                    continue
                said = {word.arg for word in getattr(decorator, "keywords", ())}
                missing = [word for word in _DATACLASS_WORDS if word not in said]
                if missing:
                    yield Finding(
                        rule="frozen-values",
                        path=relative(path, root),
                        line=node.lineno,
                        name=node.name,
                        sentence=f"make the dataclass `{node.name}` also {', '.join(missing)}",
                    )


def no_any(root: Path) -> Iterator[Finding]:
    """Core has no `Any`: what it can't name, it can't judge."""
    for path in files(root, ".py", under=("src/taskbound/core",)):
        for node in nodes(path):
            named = isinstance(node, ast.ImportFrom) and any(one.name == "Any" for one in node.names)
            if named or (isinstance(node, ast.Attribute) and node.attr == "Any"):
                yield Finding(
                    rule="no-any",
                    path=relative(path, root),
                    line=node.lineno,
                    sentence="say the type: `object` and a `match`, or a type of core",
                )


def no_exit(root: Path) -> Iterator[Finding]:
    """Only the command line and a process's own start end the process."""
    for path in files(root, ".py", under=("src",)):
        name = relative(path, root)
        if name.startswith(("src/taskbound/surfaces/cli/", "src/taskbound/wiring/")):
            continue
        for node in nodes(path):
            leaves = isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "exit", "os._exit"}
            if leaves or (isinstance(node, ast.Name) and node.id == "SystemExit"):
                yield Finding(
                    rule="no-exit",
                    path=name,
                    line=node.lineno,
                    sentence="raise an error; the command line maps codes to exit statuses",
                )


def page_budget(root: Path) -> Iterator[Finding]:
    """The pages that everyone reads stay short."""
    for name, limit in PAGE_LINES.items():
        if (root / name).exists():
            lines = len((root / name).read_text(encoding="utf-8").splitlines())
            if lines > limit:
                yield Finding(
                    rule="page-budget", path=name, line=lines, sentence=f"cut the page to {limit} lines"
                )
    for name, limit in PAGE_WORDS.items():
        if (root / name).exists():
            words = len((root / name).read_text(encoding="utf-8").split())
            if words >= limit:
                yield Finding(
                    rule="page-budget",
                    path=name,
                    sentence=f"{words} words: cut the page below {limit}; don't tell what a machine checks",
                )
