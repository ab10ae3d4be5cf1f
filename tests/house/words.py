"""Rules about names: words are file names, and names that say nothing are not used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, files, functions, nodes, relative, syntax

GLOSSARY = "docs/glossary.md"
EMPTY_WORDS = frozenset(
    {
        "base", "common", "handler", "handlers", "helper", "helpers", "manager", "managers",
        "misc", "util", "utils",
    }
)  # fmt: skip  # a list of words reads better as words
EMPTY_ENDINGS = ("Base", "Handler", "Helper", "Helpers", "Manager", "Util", "Utils")
EMPTY_VERBS = ("process_", "validate_", "check_")
FEWEST_WORDS_OF_A_SENTENCE = 3

_PACKAGE = "src/taskbound"
_MIRRORED_ROOMS = ("core", "ports", "flows", "wire")
_GLOSSARY_ROW = re.compile(r"^\| \*\*([a-z]+)\*\* \|", re.MULTILINE)


def glossary(root: Path) -> frozenset[str]:
    """The words of the glossary's table."""
    page = root / GLOSSARY
    return (
        frozenset(_GLOSSARY_ROW.findall(page.read_text(encoding="utf-8"))) if page.exists() else frozenset()
    )


def words_are_files(root: Path) -> Iterator[Finding]:
    """In the rooms with one file a word, every file or folder is named by a word of the glossary."""
    words = glossary(root)
    for room in _rooms(root):
        for one in sorted(room.iterdir()):
            if one.name.startswith(("_", ".")) or not (one.is_dir() or one.suffix == ".py"):
                continue
            if one.stem not in words:
                yield Finding(
                    rule="words-are-files",
                    path=relative(one, root),
                    name=one.stem,
                    sentence=f"`{one.stem}` is no word of {GLOSSARY}: put the code into its word's file",
                )


def _rooms(root: Path) -> Iterator[Path]:
    for name in ("core", "ports", "flows"):
        if (root / _PACKAGE / name).is_dir():
            yield root / _PACKAGE / name
    store = root / _PACKAGE / "adapters" / "store"
    if store.is_dir():
        yield from sorted(one for one in store.iterdir() if one.is_dir() and not one.name.startswith("_"))


def tests_mirror_rooms(root: Path) -> Iterator[Finding]:
    """A test file of a room is named by the module that it is about."""
    for room in _MIRRORED_ROOMS:
        folder, source = root / "tests" / room, root / _PACKAGE / room
        if not (folder.is_dir() and source.is_dir()):
            continue
        modules = {one.stem for one in source.iterdir() if not one.name.startswith((".", "__"))}
        for one in sorted(folder.glob("test_*.py")):
            subject = one.stem.removeprefix("test_")
            if not any(subject == name or subject.startswith(f"{name}_") for name in modules):
                yield Finding(
                    rule="tests-mirror-rooms",
                    path=relative(one, root),
                    name=subject,
                    sentence=f"name it `test_` and a module of {_PACKAGE}/{room}, then its aspect",
                )


def no_empty_names(root: Path) -> Iterator[Finding]:
    """No module, class or function has a name that hides what it does, or how it fails."""
    for path in files(root, ".py"):
        name = relative(path, root)
        for part in Path(name).with_suffix("").parts:
            if EMPTY_WORDS & set(part.split("_")):
                yield Finding(
                    rule="no-empty-names",
                    path=name,
                    name=part,
                    sentence=f"`{part}` says nothing: name it by what it holds",
                )
        tree = syntax(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_ENDINGS):
                yield Finding(
                    rule="no-empty-names",
                    path=name,
                    line=node.lineno,
                    name=node.name,
                    sentence=f"`{node.name}` says nothing: name the class by what it is",
                )
        for function in functions(tree):
            if function.name.lstrip("_").startswith(EMPTY_VERBS):
                yield Finding(
                    rule="no-empty-names",
                    path=name,
                    line=function.lineno,
                    name=function.name,
                    sentence=f"`{function.name}` hides how it fails: parse_ and require_ raise",
                )


def tests_are_sentences(root: Path) -> Iterator[Finding]:
    """A test's name is a sentence that can be false, and nothing else tells what it is for."""
    for path in files(root, ".py", under=("tests",)):
        for function in functions(syntax(path)):
            if not function.name.startswith("test_"):
                continue
            if len(function.name.split("_")) - 1 < FEWEST_WORDS_OF_A_SENTENCE:
                yield Finding(
                    rule="tests-are-sentences",
                    path=relative(path, root),
                    line=function.lineno,
                    name=function.name,
                    sentence=f"make `{function.name}` a sentence that can be false",
                )
            if ast.get_docstring(function) is not None:
                yield Finding(
                    rule="tests-are-sentences",
                    path=relative(path, root),
                    line=function.lineno,
                    name=function.name,
                    sentence=f"`{function.name}` has a docstring: say it in the name",
                )


def no_mocks_or_sleeps(root: Path) -> Iterator[Finding]:
    """Tests replace nothing of ours by a mock, and wait for what happens, never for time."""
    for path in files(root, ".py", under=("tests",)):
        for node in nodes(path):
            match node:
                case ast.ImportFrom(module="unittest.mock" | "mock"):
                    sentence = "use a real adapter, not a mock"
                case ast.Import(names=[ast.alias(name="unittest.mock" | "mock")]):
                    sentence = "use a real adapter, not a mock"
                case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep")) if (
                    ast.unparse(node.args[0] if node.args else node) != "0"
                ):
                    sentence = "wait for the event itself: a sleep is too short on some machine"
                case _:
                    continue
            yield Finding(
                rule="no-mocks-or-sleeps", path=relative(path, root), line=node.lineno, sentence=sentence
            )


def error_texts(root: Path) -> Iterator[Finding]:
    """An error's text is lower case and has no final stop, so that it can stand inside a sentence."""
    for path in files(root, ".py", under=("src",)):
        for node in nodes(path):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            if not ast.unparse(node.exc.func).endswith("Error"):
                continue
            first, last = _ends(node.exc.args[0])
            shouts = len(first) > 1 and first[0].isupper() and first[1].islower()
            if shouts or (last.endswith(".") and not last.endswith("...")):
                yield Finding(
                    rule="error-texts",
                    path=relative(path, root),
                    line=node.lineno,
                    sentence="write the error's text in lower case, without a final stop",
                )


def _ends(text: ast.expr) -> tuple[str, str]:
    """The first and the last literal piece of a message, empty where it is computed."""
    match text:
        case ast.Constant(value=str(value)):
            return value, value
        case ast.JoinedStr(values=[*pieces]) if pieces:
            ends = [p.value if isinstance(p, ast.Constant) else "" for p in (pieces[0], pieces[-1])]
            return str(ends[0]), str(ends[1])
        case _:
            return "", ""
