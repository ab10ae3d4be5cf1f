from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from taskbound.surfaces.cli.app import build
from tests.wiring.test_beneath import commands

if TYPE_CHECKING:
    from collections.abc import Iterator


def refused_when_omitted(function: Any) -> Iterator[str]:
    """Options that `--help` calls optional, and that the command's own body refuses to go without."""
    parameters = inspect.signature(function).parameters.values()
    optional = {one.name for one in parameters if one.default is not inspect.Parameter.empty}
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(body, ast.FunctionDef)
    for statement in body.body:
        match statement:
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)), body=[ast.Raise(), *_]):
                if name in optional:
                    yield name


def test_option_that_a_command_can_not_do_without_is_marked_as_required() -> None:
    found = [(name, option) for name, one in commands(build()) for option in refused_when_omitted(one)]
    assert found == [("credential request", "show_secret")]  # consent, as `--yes` is: it has to be typed
