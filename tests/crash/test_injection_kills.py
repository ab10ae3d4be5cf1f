from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest

from tests.crash.injecting import PLACES, injecting_at

if TYPE_CHECKING:
    from tests.crash.injecting import Victim

IN_CI: Final[tuple[tuple[str, Victim], ...]] = (
    ("opened", "gateway"),
    ("acknowledged", "egress"),
    ("started", "broker"),
    ("in", "pair"),
)
"""One of each that can be killed; the others are `dev/soak --only credential-injection`."""


@pytest.mark.timeout(300)
@pytest.mark.soak
def test_k10_k11_k12_whoever_is_killed_on_the_way_into_a_server_nothing_is_left_that_nobody_answers_for() -> (
    None
):
    places = {one.name: one for one in PLACES}
    with TemporaryDirectory(prefix="tb-") as folder, injecting_at(Path(folder)) as there:
        for name, victim in IN_CI:
            there.strike(places[name], victim)
        assert there.use()
        there.require_over()
        # A server that does not get further than its start has its secret no longer than its task.
        there.hang_until(there.end_task)
        there.require_over()
