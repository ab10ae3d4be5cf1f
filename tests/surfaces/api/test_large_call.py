from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import msgspec

from taskbound.wire.action import Decide
from taskbound.wire.connection import Done, Ping
from tests.surfaces.api.test_operations import decide, station

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.ports.store import Transaction


def test_while_the_thread_decides_on_a_large_call_others_are_answered_and_none_is_lost(
    tmp_path: Path,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    async def story() -> None:
        async with station(tmp_path) as place:
            large, small, other = await place.gateway(), await place.gateway(), await place.client()
            write = place.world.store.write

            def held(work: Callable[[Transaction], object], **more: bool) -> object:
                place.world.store.write = write  # type: ignore[method-assign]  # the seam is put back
                order.append(threading.current_thread().name)
                begun.set()
                assert go_on.wait(20)
                return write(work, **more)

            place.world.store.write = held  # type: ignore[method-assign, assignment]  # the seam of a story
            loop = asyncio.get_running_loop()
            to = '{"amount":1,"to":"' + "b" * 1_000_000 + '"}'
            asked = Decide(tool="bank__pay", arguments=msgspec.Raw(to.encode()), request='"1"')
            first = loop.create_task(large.ask_any(asked))
            first.add_done_callback(lambda _: order.append("large"))
            assert await asyncio.to_thread(begun.wait, 20)
            for _ in range(3):
                assert await other.ask(Ping(), Done) == Done()
                order.append("ping")
            second = loop.create_task(small.ask_any(decide('"2"')))
            second.add_done_callback(lambda _: order.append("small"))
            assert await other.ask(Ping(), Done) == Done()
            assert not first.done()
            assert not second.done(), "turns do not overlap: who asks for a decision waits"
            go_on.set()
            await asyncio.gather(first, second)

    asyncio.run(story())
    assert order[0] != threading.main_thread().name
    assert order[1:4] == ["ping"] * 3
    assert sorted(order[4:]) == ["large", "small"]
