from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.approval import AnswerKind
from tests.peers.widening import Wide, grants, pay
from tests.stories.test_widening import differences, paid
from tests.world import ANN, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.ports.task import StoredAmendment


@pytest.fixture
def there(tmp_path: Path) -> Wide:
    return Wide(SqlStore(tmp_path / "t.db", reserve=0))


@pytest.fixture
def asked(there: Wide) -> StoredAmendment:
    """One that waits, with an answer to each that is over before it."""
    there.tell(there.wish(pay(9)), "bob", AnswerKind.DENY)
    there.widened(pay(8))
    return there.wish(pay(11))


def edit(path: Path, text: str, values: tuple[object, ...] = ()) -> None:
    """What somebody writes into the database past all of this."""
    connection = driver.connect(path / "t.db")
    assert connection.execute(text, values).rowcount > 0
    connection.commit()
    connection.close()


def test_amendments_that_nobody_edited_are_what_the_log_says(there: Wide, asked: StoredAmendment) -> None:
    assert differences(there) == ()
    there.tell(asked, "carl")
    assert differences(there) == ()


MOVE = "UPDATE amendments SET state = "
ANSWERS = "UPDATE amendment_answers SET "
OTHERS = "has other answers than its records"
COPY = """
    INSERT INTO amendments SELECT namespace, 'amd_x', task, agent, wanted, 'denied',
    CAST(replace(CAST(question AS TEXT), id, 'amd_x') AS BLOB), asked, finished, reason
    FROM amendments LIMIT 1
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{MOVE} 'applied' WHERE state = 'pending'", "is `applied`, and its records say `pending`"),
        (f"{MOVE} 'expired' WHERE state = 'denied'", "is `expired`, and its records say `denied`"),
        (f"{MOVE} 'withdrawn' WHERE state = 'applied'", "is `withdrawn`, and its records say `applied`"),
        ("DELETE FROM amendments WHERE state = 'denied'", "was asked for, and is not there"),
        ("DELETE FROM amendment_answers", OTHERS),
        (f"{ANSWERS} kind = 'approve' WHERE kind = 'deny'", OTHERS),
        (f"{ANSWERS} statement = x'00'", OTHERS),
        (f"{ANSWERS} person = 'dora'", OTHERS),
        (COPY, "amendment amd_x is there, and no record asked for it"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_what_was_edited_in_the_database_is_found(there: Wide, tmp_path: Path, text: str, words: str) -> None:
    edit(tmp_path, text)
    assert any(words in one for one in differences(there))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("UPDATE tasks SET over = '[]' WHERE over <> '[]'", "of its limits"),
        ("UPDATE tasks SET spent = '[]' WHERE spent <> '[]'", "before its amendment"),
    ],
)
def test_law_3_what_was_spent_and_given_until_then_is_compared_too(
    there: Wide, tmp_path: Path, text: str, words: str
) -> None:
    assert [paid(there) for _ in range(3)] == ["permit"] * 3
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(1))), ANN)
    assert (there.now().over, differences(there)) == ((("g0/uses", -1),), ())
    edit(tmp_path, text)
    (found,) = differences(there)
    assert words in found


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one.question, reason="else"),
        lambda one: replace(one.question, lifters=("confirm",)),
    ],
)
def test_a176_an_amendment_that_was_written_over_is_found(
    there: Wide, asked: StoredAmendment, tmp_path: Path, change: Callable[[StoredAmendment], object]
) -> None:
    written = change(asked).canonical  # type: ignore[attr-defined]  # a question has it
    edit(tmp_path, "UPDATE amendments SET question = ? WHERE id = ?", (written, asked.question.id))
    assert f"amendment {asked.question.id} is not what was asked for" in differences(there)
