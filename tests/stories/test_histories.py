from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.postgres.action import PostgresActions
from taskbound.adapters.store.postgres.rows import PostgresRevocation
from taskbound.adapters.store.postgres.task import PostgresTasks
from taskbound.adapters.store.sql.action import SqlActions
from taskbound.adapters.store.sql.task import SqlTasks
from taskbound.core.decision import ActHistory
from taskbound.core.revocation import KillSwitch
from taskbound.flows.decision import Views
from tests.stories.histories import HISTORIES, compare, compare_daemons

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.postgres import Server


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_i17_both_engines_decide_alike_in_a_hundredth_of_the_histories_of_the_soak(server: Server) -> None:
    for batch in range(4):
        codes = compare(server, f"ci:{batch}", HISTORIES)
        assert {"permit", "hold", "outside-scope", "exhausted", "duplicate"} <= codes.keys()


FAULTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "postgres forgets which calls were decided": (PostgresActions, "lock_priors", lambda *_: {}),
    "postgres finds no task that is due": (PostgresTasks, "due", lambda *_, **__: ()),
    "sqlite counts no attempts": (
        SqlActions,
        "lock_acts",
        lambda _, __, acts: dict.fromkeys(acts, ActHistory()),
    ),
    "sqlite takes nothing from a limit": (SqlTasks, "set_remainders", lambda *_: None),
    "postgres takes nothing from a limit": (PostgresTasks, "set_remainders", lambda *_: None),
    "postgres sees no kill switch": (
        PostgresRevocation,
        "lock_kill_switch",
        lambda *_, **__: KillSwitch(stopped=False, epoch=0, reason=""),
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_differs_is_found(fault: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(AssertionError, match=" of seed "):
        compare(server, "fault", HISTORIES)


@pytest.mark.timeout(120)
def test_i17_whichever_daemon_is_asked_over_whichever_store_decisions_and_their_reasons_are_the_same(
    server: Server,
) -> None:
    codes = compare_daemons(server, "i17", HISTORIES)
    assert {"permit", "hold", "outside-scope", "exhausted", "duplicate", "task-ended"} <= codes.keys()


@pytest.mark.timeout(120)
def test_a_daemon_that_decides_by_what_it_remembers_is_found(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Views, "read_again", lambda *_: None)
    with pytest.raises(AssertionError, match=" of seed "):
        compare_daemons(server, "i17", HISTORIES)
