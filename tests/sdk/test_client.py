from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from taskbound import __version__
from taskbound.sdk.client import AsyncClient, Client, DaemonLostError, RefusedByDaemonError
from taskbound.wire.action import Malformed
from taskbound.wire.connection import Bind, Bound, Done, Fault, Open, Opened, Ping, StopPush
from taskbound.wire.envelope import Reply
from taskbound.wire.frame import FrameError, encode_frame
from tests.peers.daemon import ScriptedDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.envelope import Push

pytestmark = pytest.mark.anyio
HELLO = Open(role="gateway", version=__version__, agent="coder")


class Heard:
    """What a connection said unasked, and whether it is gone."""

    def __init__(self) -> None:
        self.pushes: asyncio.Queue[Push] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.losses = 0

    def lost(self) -> None:
        self.losses += 1
        self.gone.set()


async def connected(daemon: ScriptedDaemon, heard: Heard | None = None) -> tuple[AsyncClient, Opened]:
    ears = heard or Heard()
    return await AsyncClient.connect(daemon.path, HELLO, pushed=ears.pushes.put_nowait, lost=ears.lost)


async def test_questions_that_overlap_are_each_answered_with_their_own_answer(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        client, opened = await connected(daemon)
        assert opened.connection == "con_secret"
        with daemon.holding(Ping) as held:
            first = asyncio.ensure_future(client.ask(Ping(), Done))
            second = asyncio.ensure_future(client.ask(Ping(), Done))
            one, two = await held.next(), await held.next()
            two.answer(Done(detail="two"))
            one.answer(Done(detail="one"))
            assert (await first).detail == "one"
            assert (await second).detail == "two"
        client.close()


async def test_a_question_that_is_not_answered_in_time_fails_and_a_late_answer_is_nobodys(
    tmp_path: Path,
) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        client, _ = await connected(daemon)
        with daemon.holding(Ping) as held:
            patient = asyncio.ensure_future(client.ask(Ping(), Done, patience=20.0))
            hasty = asyncio.ensure_future(client.ask(Ping(), Done, patience=0.05))
            with pytest.raises(DaemonLostError):
                await hasty
            one, two = await held.next(), await held.next()
            two.answer(Done(detail="late"))
            one.answer(Done(detail="in time"))
            assert (await patient).detail == "in time"
        assert await client.ask(Ping(), Done) == Done()
        client.close()


async def test_a_broken_connection_fails_every_open_question_once_and_is_not_used_again(
    tmp_path: Path,
) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        heard = Heard()
        client, _ = await connected(daemon, heard)
        daemon.silent = True
        open_ = [asyncio.ensure_future(client.ask(Ping(), Done)) for _ in range(3)]
        await daemon.asked(Ping)
        daemon.drop()
        for found in await asyncio.gather(*open_, return_exceptions=True):
            assert isinstance(found, DaemonLostError)
        await heard.gone.wait()
        assert heard.losses == 1
        with pytest.raises(DaemonLostError):
            await client.ask(Ping(), Done)


async def test_a_fault_is_raised_with_the_daemons_own_words(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        client, _ = await connected(daemon)
        daemon.on[Bind] = lambda _: Fault(code="no-task", message="no task runs", advice="open one")
        with pytest.raises(RefusedByDaemonError) as caught:
            await client.ask(Bind(), Bound)
        assert (caught.value.fault.code, caught.value.message, caught.value.advice) == (
            "no-task",
            "no task runs",
            "open one",
        )
        client.close()


async def test_an_answer_of_another_kind_is_an_error(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        client, _ = await connected(daemon)
        daemon.on[Bind] = lambda _: Done()
        with pytest.raises(FrameError):
            await client.ask(Bind(), Bound)
        client.close()


async def test_a_refused_opening_leaves_no_connection_behind(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        heard = Heard()
        daemon.on[Open] = lambda _: Fault(code="other-version", message="another version")
        with pytest.raises(RefusedByDaemonError):
            await connected(daemon, heard)
        await asyncio.wait_for(heard.gone.wait(), 20.0)


async def test_where_nobody_listens_there_is_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(DaemonLostError):
        await AsyncClient.connect(tmp_path / "nobody", HELLO, pushed=lambda _: None, lost=lambda: None)


async def test_what_is_said_unasked_is_handed_on(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        heard = Heard()
        client, _ = await connected(daemon, heard)
        daemon.push(StopPush(stopped=True))
        assert await asyncio.wait_for(heard.pushes.get(), 20.0) == StopPush(stopped=True)
        client.close()


async def test_what_is_said_unasked_is_heard_before_an_answer_that_arrived_with_it(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        heard = Heard()
        client, _ = await connected(daemon, heard)

        async def ask() -> int:
            await client.ask(Ping(), Done)
            return heard.pushes.qsize()

        with daemon.holding(Ping) as held:
            asking = asyncio.ensure_future(ask())
            (await held.next()).answer(Done())
            daemon.push(StopPush(stopped=True))
            assert await asking == 1
        client.close()


async def test_a_question_too_large_for_a_frame_is_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    async with ScriptedDaemon(tmp_path / "d.sock") as daemon:
        client, _ = await connected(daemon)
        with pytest.raises(FrameError):
            await client.ask(Malformed(code="x", message="x" * 5_000_000, size=0, sha256=""), Done)
        assert await client.ask(Ping(), Done) == Done()
        client.close()


def full(path: Path) -> tuple[socket.socket, list[socket.socket]]:
    """A socket that listens and accepts nobody, and who waits in its queue, which is full."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    waiting: list[socket.socket] = []
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        try:
            one.connect(str(path))
        except BlockingIOError:
            one.close()
            return listener, waiting
        waiting.append(one)


def let_in(listener: socket.socket, waiting: list[socket.socket]) -> socket.socket:
    """Who comes behind those that waited, answered as a daemon answers."""
    listener.settimeout(30)
    for one in waiting:
        listener.accept()[0].close()
        one.close()
    last, _ = listener.accept()
    last.recv(65536)
    opened = Opened(connection="con", version=__version__, stopped=False)
    last.sendall(encode_frame(Reply(id=1, answer=opened)))
    return last


async def test_a_daemon_whose_queue_is_full_is_tried_again(tmp_path: Path) -> None:
    listener, waiting = full(tmp_path / "d.sock")
    heard = Heard()
    joining = asyncio.ensure_future(
        AsyncClient.connect(tmp_path / "d.sock", HELLO, pushed=heard.pushes.put_nowait, lost=heard.lost)
    )
    await asyncio.to_thread(int)  # the first try is over
    assert not joining.done()
    last = await asyncio.to_thread(let_in, listener, waiting)
    client, opened = await joining
    assert opened.connection == "con"
    client.close()
    last.close()
    listener.close()


async def test_plain_code_tries_a_daemon_again_whose_queue_is_full(tmp_path: Path) -> None:
    listener, waiting = full(tmp_path / "d.sock")
    joining = asyncio.ensure_future(asyncio.to_thread(Client, tmp_path / "d.sock", HELLO))
    last = await asyncio.to_thread(let_in, listener, waiting)
    with await joining as client:
        assert client.opened.connection == "con"
    last.close()
    listener.close()


def test_a_daemon_whose_queue_stays_full_is_lost(tmp_path: Path) -> None:
    listener, waiting = full(tmp_path / "d.sock")
    with pytest.raises(DaemonLostError, match="queue is full"):
        Client(tmp_path / "d.sock", HELLO, patience=0.01)
    for one in (listener, *waiting):
        one.close()
