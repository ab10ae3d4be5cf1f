"""What is owed, and who is connected, in a process that was forked from a client's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.notes import noting, outcomes, within

pytestmark = pytest.mark.anyio
OWING = """
import asyncio, os, sys, threading
from pathlib import Path
from tests.sdk.interrupted import cancelling, interrupting
from tests.sdk.noted import note, note_later
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.link import Place
from taskbound.sdk.guard.speaker import ClientSettings

class Here:
    def place(self, told):
        return Place(socket=Path(sys.argv[1]), namespace="default", agent="coder", task="")

    def task(self):
        return ""

def forked(client, close):
    child = os.fork()
    if not child:
        try:
            close()
            os._exit(7)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), len(client._owed._left))

def blocking():
    with Client(ClientSettings(), Here()) as client:
        try:
            with interrupting(client, before=range(1, 3)):
                note("hello")
        except KeyboardInterrupt:
            pass
        begun, over = threading.Event(), threading.Event()
        def asking():
            with client._link._turn:  # as who is in the middle of a question
                begun.set()
                over.wait()
        other = threading.Thread(target=asking)
        other.start()
        begun.wait()
        forked(client, client.close)
        over.set()
        other.join()

async def awaited():
    async with AsyncClient(ClientSettings(), Here()) as client:
        with cancelling(client, before=range(1, 3)):
            await asyncio.wait((asyncio.ensure_future(note_later("hello")),))
            while client._owed._telling:
                await asyncio.sleep(0)
        forked(client, lambda: asyncio.run(client.close()))
        async with asyncio.timeout(20):  # what was closed there is still heard here
            await note_later("more")

blocking()
asyncio.run(awaited())
"""


async def test_a_child_that_was_forked_owes_nothing_and_tells_nothing_and_its_parent_does(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        done = await within(
            lambda: subprocess.run(
                [sys.executable, "-c", OWING, str(place.path)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        )
        assert (done.returncode, done.stdout) == (0, "7 1\n7 1\n"), done.stderr
        assert outcomes(place.world) == ["succeeded"] * 3


KEPT = """
import asyncio, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from taskbound.sdk.guard.flow import Say
from taskbound.sdk.guard.holder import Send
from taskbound.sdk.guard.web import AsyncWeb

got, go = threading.Event(), threading.Event()

class Fine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        got.set()
        go.wait()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", 0), Fine)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()

async def story():
    web = AsyncWeb(f"http://127.0.0.1:{server.server_port}", trust=None)
    ask = Say(what=Send(method="GET", path="/", headers={}, body=b""))
    asking = asyncio.ensure_future(web.perform(ask))
    await asyncio.to_thread(got.wait)
    child = os.fork()
    if not child:
        try:
            asyncio.run(web.close())
            os._exit(7)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    go.set()
    async with asyncio.timeout(15):
        told = await asking
    await web.close()
    print(os.waitstatus_to_exitcode(status), told.status)

asyncio.run(story())
"""


def test_an_answer_over_http_is_heard_though_a_child_that_was_forked_closes_its_client() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "7 200\n"), done.stderr
