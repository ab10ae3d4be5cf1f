"""`dev/guards` finds the statements that only raise, and takes one out without moving a line."""

from __future__ import annotations

import ast

from dev.guards import guards_of, without

_MODULE = b"""
def pay(amount: int, name: str) -> int:
    if (size := len(name)) > 3 or (
        "\xc3\xa9" in name
    ):
        raise NameTooLongError(name)
    if amount < 0:
        raise errors.NegativeError
    if amount:
        return size
    return 0
"""


def test_guard_is_an_if_that_only_raises() -> None:
    assert [(guard.line, guard.raises) for guard in guards_of(_MODULE, "pay.py")] == [
        (3, "NameTooLongError"),
        (7, "NegativeError"),
    ]


def test_guard_taken_out_never_raises_and_moves_no_line() -> None:
    first, second = guards_of(_MODULE, "pay.py")
    changed = without(without(_MODULE, second), first)
    assert changed.count(b"\n") == _MODULE.count(b"\n")
    tests = [ast.unparse(node.test) for node in ast.walk(ast.parse(changed)) if isinstance(node, ast.If)]
    assert [test.endswith("and False") for test in tests] == [True, True, False]
