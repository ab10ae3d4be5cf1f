"""A daemon, or what stands in its place, whose permit is for something else than was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskbound.sdk.guard.errors import DecisionAlteredError
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import ActionPermitted, Permitted
from tests.sdk.noted import note, note_later, ran
from tests.sdk.notes import async_client_at, noting, outcomes
from tests.sdk.notes_afar import Distant, distant

pytestmark = pytest.mark.anyio


@contextmanager
def altering(kind: type[Any], **changes: Any) -> Iterator[None]:
    """Each answer of this kind says something else."""
    send = SocketServer._answer  # noqa: SLF001 - the seam of a lie

    def lie(self: Any, number: int, answer: Any) -> None:
        told = msgspec.structs.replace(answer, **changes) if isinstance(answer, kind) else answer
        send(self, number, told)

    SocketServer._answer = lie  # type: ignore[method-assign]  # noqa: SLF001 - it is put back
    try:
        yield
    finally:
        SocketServer._answer = send  # type: ignore[method-assign]  # noqa: SLF001 - as it was


async def test_law_2_a_permit_of_another_act_runs_nothing_and_is_given_back(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with altering(Permitted, digest="0" * 64):
            async with async_client_at(place):
                with pytest.raises(DecisionAlteredError, match="not what was asked"):
                    await note_later("hello")
        assert ran == []
        assert outcomes(place.world) == ["not-sent"]


@pytest.mark.parametrize(
    "changes", [{"arguments": msgspec.Raw(b'{"tags":null,"text":"more"}')}, {"tool": "notes__other"}]
)
def test_law_2_a_permit_of_another_act_runs_nothing_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    def work(one: Distant) -> None:
        with (
            altering(ActionPermitted, **changes),
            one.client(),
            pytest.raises(DecisionAlteredError, match="not what was asked"),
        ):
            note("hello")
        assert ran == []
        assert outcomes(one.world) == ["not-sent"]

    distant(tmp_path, work, monkeypatch)
