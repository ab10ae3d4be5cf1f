"""People hear how long what nobody can list may live where a target gives tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.surfaces.cli.target.preflight import lasting_words, lost_for
from taskbound.wire.target import TargetRow
from tests.peers.authorizing import where_at

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = {"app": "Iv23", "installation": 42}
DATABASE = {"host": "/run/postgresql", "database": "orders"}


def row(kind: str, where: Mapping[str, Any]) -> TargetRow:
    """A target of this kind, as a daemon shows it."""
    return TargetRow(
        name="some",
        kind=kind,
        where=msgspec.Raw(msgspec.json.encode(where)),
        owner="bob",
        approvers=("carol",),
        identity="1" * 64,
        state="ready",
        number=1,
        kinds=(),
        revocable=True,
    )


@pytest.mark.parametrize(
    ("kind", "where", "seconds"),
    [
        ("oauth", where_at("http://127.0.0.1:1", lasts=1_234), 1_234),
        ("github", HUB, 3_660),
        ("postgres", DATABASE, 0),
    ],
)
def test_what_has_no_name_of_ours_lives_for_as_long_as_its_target_says(
    kind: str, where: Mapping[str, Any], seconds: int
) -> None:
    found = row(kind, where)
    assert lost_for(found) == seconds
    assert f"at most {seconds} s" in lasting_words(found)
