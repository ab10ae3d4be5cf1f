from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation


def test_rows_that_were_edited_are_named_and_others_are_as_the_log_says(place: Installation) -> None:
    task = place.start_task("to be edited")
    fine = place("audit", "verify", "--deep", "--json")
    assert (fine.status, fine.document["is"], fine.document["found"]) == (0, "rows", 0)
    database = driver.connect(place.home / "taskbound.db")
    database.execute("UPDATE tasks SET deadline = deadline + 1 WHERE id = ?", (task,))
    database.commit()
    edited = place("audit", "verify", "--deep")
    database.execute("UPDATE tasks SET deadline = deadline - 1 WHERE id = ?", (task,))
    database.commit()
    database.close()
    assert (edited.status, "[rows-differ]" in edited.err) == (5, True)
    assert f"task {task} has another agent or deadline" in edited.out
    place("task", "end", task, "--yes")
    assert place("audit", "verify", "--deep").status == 0
