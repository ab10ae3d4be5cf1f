from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.core.credential import CredentialState
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.network.oauth import Metrics
from taskbound.wire.network import Counted, ShowCounts
from tests.stories.brokering import put, put_target
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.serving import both

pytestmark = pytest.mark.anyio

TOLD = Counted(brokers=1, living=2, revoking=3, overdue=4, oldest=61)
NAMES = {
    "taskbound_brokers": 1,
    "taskbound_credentials_living": 2,
    "taskbound_credentials_revoking": 3,
    "taskbound_credentials_overdue": 4,
    "taskbound_credentials_oldest_revocation_seconds": 61,
}
GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "observability.md"


def values(text: str) -> dict[str, str]:
    """Each series without a label."""
    return dict(line.split(" ") for line in text.splitlines() if line[0] != "#" and "{" not in line)


def test_what_the_daemon_counts_stands_under_its_own_names_and_the_guide_has_each() -> None:
    found = values(Metrics().text(TOLD).decode())
    assert found["taskbound_daemon_up"] == "1"
    assert {name: int(found[name]) for name in NAMES} == NAMES
    assert [name for name in found if f"`{name}`" not in GUIDE.read_text()] == []


def test_what_a_daemon_that_is_away_would_count_is_left_out_and_never_zero() -> None:
    found = values(Metrics().text(None).decode())
    assert found["taskbound_daemon_up"] == "0"
    assert NAMES.keys().isdisjoint(found)


async def test_every_namespaces_credentials_are_counted_together_and_an_age_is_the_oldest(
    tmp_path: Path,
) -> None:
    async with station(tmp_path) as place:
        api = await place.client("api")
        assert await api.ask(ShowCounts(), Counted) == Counted(
            brokers=0, living=0, revoking=0, overdue=0, oldest=0
        )
        put_target(place.world)
        put_target(place.world, namespace="other")
        task = place.world.start()
        put(place.world, "a", task=task.id)
        now = place.world.clock.now()
        found = {"state": CredentialState.REVOKING, "task": "", "agent": "", "kind": ""}
        put(place.world, "b", namespace="other", ended=now, **found)
        place.world.clock.advance(61)
        put(place.world, "c", ended=place.world.clock.now(), **found)
        await place.client("broker")
        assert await api.ask(ShowCounts(), Counted) == Counted(
            brokers=1, living=1, revoking=2, overdue=1, oldest=61
        )


async def test_i27_nobody_but_the_api_is_told_what_the_daemon_counts(tmp_path: Path) -> None:
    async with station(tmp_path) as place:
        for stranger in (await place.client("cli"), await place.client("gateway", agent="coder")):
            with pytest.raises(RefusedByDaemonError) as caught:
                await stranger.ask(ShowCounts(), Counted)
            assert caught.value.fault.code == "unproven"


def test_metrics_are_told_with_the_daemons_counts_and_go_on_without_it(tmp_path: Path) -> None:
    with both(tmp_path) as (one, process):
        found = values(one.ask("GET", "/metrics").body.decode())
        assert (found["taskbound_daemon_up"], found["taskbound_credentials_overdue"]) == ("1", "0")
        process.end()
        gone = one.ask("GET", "/metrics")
        assert (gone.status, values(gone.body.decode())["taskbound_daemon_up"]) == (200, "0")
        assert b"taskbound_credentials" not in gone.body
        assert b'route="/metrics",status="200"' in gone.body
