"""`dev/size` counts code, docstrings and riddle words as the budgets mean them."""

from __future__ import annotations

from dev.size import count_python

_MODULE = '''"""A sentence.

Nobody reads this line.
"""

# A comment, of which there is one.


class Task:  # code, with a comment
    """A task."""

    state: str = ""
    """What it is
    told."""

    def end(self) -> str:
        """End it."""
        return """a text
        of two lines"""
'''


def test_docstrings_comments_and_blank_lines_are_no_code() -> None:
    counted = count_python(_MODULE)
    assert (counted.code, counted.docs) == (5, 8)
    assert counted.functions == [3]


def test_riddle_words_count_in_any_case_and_across_lines() -> None:
    assert count_python('"""Nobody\nis\ntold of which one."""\n').riddles == 3
    assert count_python('"""Fools of whichever kind, untold."""\n').riddles == 0
    assert count_python("# Nobody. It is\n# none.\n").riddles == 2


def test_riddle_words_count_in_sentences_and_not_in_code() -> None:
    assert count_python("nobody = 1 if nobody is None else 2\n").riddles == 0
    assert count_python('name = f"whoever {of} which is told"\n').riddles == 2
