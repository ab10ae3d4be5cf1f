from __future__ import annotations

import contextlib
import io
import socket
import threading
from pathlib import Path
from typing import Any, cast

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from joserfc.jwk import ECKey

from tests.house.tree import ROOT
from tests.peers.paying import SocketStatus
from tests.proofs import CLIENT
from tests.surfaces.network.test_acting_guide import blocks
from tests.wiring.guarding import opened

GUIDE = ROOT / "docs" / "guides" / "guarding.md"


@contextlib.contextmanager
def serving(app: Any) -> Any:
    """Where a real server listens with this application."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_the_guides_service_does_what_its_agent_was_permitted_and_tells_it_again(tmp_path: Path) -> None:
    program, agent = blocks("python", GUIDE)
    (printed,) = [one for one in blocks("", GUIDE) if one.startswith("201 ")]
    with opened(tmp_path) as world:
        names: dict[str, Any] = {
            "issuer": world.origin,
            "folder": str(tmp_path / "service"),
            "status": SocketStatus(str(world.one.socket)),
        }
        exec(compile(program, str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        acting: dict[str, Any] = {}
        exec(compile(blocks("python")[0], "actions.md", "exec"), acting)  # noqa: S102 - our own page
        key = ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private))
        taskbound = acting["Taskbound"](world.origin, world.one.token(), key)
        out = io.StringIO()
        with serving(names["app"]) as service, contextlib.redirect_stdout(out):
            asked = {"taskbound": taskbound, "service": service}
            exec(compile(agent, str(GUIDE), "exec"), asked)  # noqa: S102 - our own page
        assert out.getvalue().strip() == printed.strip()
