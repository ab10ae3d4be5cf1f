"""What the real servers work on: a folder, a page on the loopback, a PostgreSQL database."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from tests.servers.catalog import PAGE, Ground, make_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server


class _Page(http.server.BaseHTTPRequestHandler):
    """One page, whatever is asked for."""

    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # a browser goes as soon as it has what it wants
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as there:
        thread = threading.Thread(target=there.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{there.server_port}/page"
        there.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def ground(page: str, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    database = f"postgresql://owner@localhost/postgres?host={server.folder}"
    return make_ground(tmp_path_factory.mktemp("ground"), url=page, database=database)
