from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation


def test_rows_that_were_edited_are_named_and_others_are_as_the_log_says(place: Installation) -> None:
    task = place.start_task("to be edited")
    fine = place("audit", "verify", "--json")
    assert (fine.status, fine.document["is"], fine.document["rows"]["found"]) == (0, "verified", 0)
    assert fine.document["rows"]["not_compared"]
    database = driver.connect(place.home / "taskbound.db")
    database.execute("UPDATE tasks SET deadline = deadline + 1 WHERE id = ?", (task,))
    database.commit()
    edited = [place("audit", "verify", *words) for words in ((), ("--live",), ("--deep",))]
    database.execute("UPDATE tasks SET deadline = deadline - 1 WHERE id = ?", (task,))
    database.commit()
    database.close()
    for one in edited:
        assert (one.status, "[rows-differ]" in one.err) == (5, True)
        assert f"task {task} has another agent or deadline" in one.out
        assert "records are as" in one.out  # the log itself was verified too
        assert "not compared: " in one.out
    place("task", "end", task, "--yes")
    assert place("audit", "verify").status == 0
