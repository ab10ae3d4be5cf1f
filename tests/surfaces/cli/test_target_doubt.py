"""A person sees that nothing is minted, since when and why, while a broker takes the store for restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.connection import Done, Open
from taskbound.wire.target import TellEpoch
from taskbound.wiring.home import find_socket

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

SINCE = 1_800_000_000_000_000
WHY = "the store has fewer records than the broker saw"


def test_targets_are_listed_with_the_epoch_and_what_is_in_the_way_of_minting(fresh: Installation) -> None:
    fresh.prepare()
    with Client(find_socket(fresh.home), Open(role="broker", version=__version__)) as told:
        told.ask(TellEpoch(epoch=3, since=SINCE, why=WHY, left=2), Done)
        found = fresh("target", "list")
        said = f"nothing is minted since 2027-01-15T08:00:00Z: {WHY} (epoch 3);"
        assert (found.status, said in found.err) == (0, True), found.err
        assert "targets where something may be left: 2" in found.err
        document = fresh("target", "list", "--json").document
        assert [document[one] for one in ("epoch", "doubted", "doubt", "doubted_targets")] == [
            3,
            SINCE,
            WHY,
            2,
        ]
        told.ask(TellEpoch(epoch=3), Done)
        found = fresh("target", "list")
        assert "nothing is minted" not in found.err
        assert fresh("target", "list", "--json").document["epoch"] == 3
