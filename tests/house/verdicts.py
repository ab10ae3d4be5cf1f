"""A rule about verdicts of policy: nobody reads one without the errors beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, beneath, files, functions, nodes, relative

_ENGINE = frozenset({"allowed", "decision", "reasons"})
"""What cedarpy says of a result; it skips policies that err and goes on."""


def verdicts_with_errors(root: Path) -> Iterator[Finding]:
    """A function that reads what an engine or a policy answer says reads its errors as well."""
    for path in files(root, ".py", under=("src", "dev")):
        text = path.read_text(encoding="utf-8")
        engine = "cedarpy" in text and any(
            (isinstance(node, ast.Import) and any(one.name == "cedarpy" for one in node.names))
            or (isinstance(node, ast.ImportFrom) and node.module == "cedarpy")
            for node in nodes(path)
        )
        answers = "PolicyAnswer" in text or "policy.answer(" in text
        for function in functions(path) if engine or answers else ():
            read = {node.attr for node in beneath(function) if isinstance(node, ast.Attribute)}
            if engine and read & _ENGINE and "errors" not in read:
                sentence = "read `.errors` beside the engine's verdict: a policy that errs refuses"
            elif answers and "permits" in read and "erred" not in read:
                sentence = "read `.erred` beside `.permits`, or leave it to `conclude`"
            else:
                continue
            yield Finding(
                rule="verdicts-with-errors",
                path=relative(path, root),
                line=function.lineno,
                sentence=sentence,
            )
