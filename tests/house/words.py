"""Rules about names: those that say nothing are not used, and tests are sentences."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, files, functions, nodes, relative

EMPTY_WORDS = frozenset(
    {
        "base", "common", "handler", "handlers", "helper", "helpers", "manager", "managers",
        "misc", "util", "utils",
    }
)  # fmt: skip  # a list of words reads better as words
EMPTY_ENDINGS = ("Base", "Handler", "Helper", "Helpers", "Manager", "Util", "Utils")
EMPTY_VERBS = ("process_", "validate_", "check_")
FEWEST_WORDS_OF_A_SENTENCE = 3


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
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_ENDINGS):
                yield Finding(
                    rule="no-empty-names",
                    path=name,
                    line=node.lineno,
                    name=node.name,
                    sentence=f"`{node.name}` says nothing: name the class by what it is",
                )
        for function in functions(path):
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
        for function in functions(path):
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
