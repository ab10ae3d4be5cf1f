from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.task import TaskEvent
from taskbound.wire.token import ListTokens, ShowToken, TokenRow, TokenRows
from tests.surfaces.api.test_fronts import Front, played
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path


def test_what_people_see_of_a_token_is_what_whoever_shows_it_is_told(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        shown, person = one.proven(one.token()), await one.place.client("cli")

        async def state() -> tuple[str, str]:
            found = await person.ask(ListTokens(task=one.task.id), TokenRows)
            assert await person.ask(ShowToken(token=found.rows[0].token), TokenRow) == found.rows[0]
            return found.rows[0].state, found.rows[0].why

        assert await state() == ("issued", "")
        one.world.tasks.end("default", one.task.id, TaskEvent.COMPLETE, ANN, reason="done")
        assert await one.show(shown) == "task-ended"
        assert await state() == ("ended", "the task has ended (completed)")

    played(tmp_path, story)
