from __future__ import annotations

import contextlib
import io
import socket
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

from taskbound.adapters.keys.es256 import Es256Key
from taskbound.wire.connection import Done
from taskbound.wire.workload import AddService, AddServiceKey
from tests.house.tree import ROOT
from tests.proofs import CLIENT
from tests.sdk.verify.serving import listening
from tests.surfaces.network.test_acting_guide import blocks
from tests.wiring.guarding import World, opened
from tests.wiring.running import client

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


def registered(world: World, name: str, *paths: Path, tools: str = "") -> None:
    """Register a service with keys of its own, whose private halves are in these files."""
    with client(world.one.socket) as one:
        audience, enforced = f"https://{name}.example", (tools or f"{name}__*",)
        one.ask(AddService(name=name, owner="alice", audience=audience, tools=enforced), Done)
        for path in paths:
            key = Es256Key.generate()
            path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            one.ask(AddServiceKey(name=name, key=key.public.decode()), Done)


def test_the_guides_service_does_what_its_agent_was_permitted_and_tells_it_again(tmp_path: Path) -> None:
    program, agent, *_, several, elsewhere = blocks("python", GUIDE)
    printed, told = [one for one in blocks("", GUIDE) if one.startswith("201 ")]
    with opened(tmp_path) as world:
        names: dict[str, Any] = {
            "issuer": world.origin,
            "folder": str(tmp_path / "service"),
            "key": str(tmp_path / "echo.pem"),
        }
        keys = [tmp_path / "echo.pem", tmp_path / "other.pem"]
        registered(world, "echo", *keys)
        exec(compile(program, str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        acting: dict[str, Any] = {}
        exec(compile(blocks("python")[0], "actions.md", "exec"), acting)  # noqa: S102 - our own page
        key = ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private))
        taskbound = acting["Taskbound"](world.origin, world.one.token(), key)
        out = io.StringIO()
        with serving(names["app"]) as service, contextlib.redirect_stdout(out):
            asked = {"taskbound": taskbound, "service": service}
            exec(compile(agent, str(GUIDE), "exec"), asked)  # noqa: S102 - our own page
        names["follower"].stop()
        names["verifier"].close()
        assert out.getvalue().strip() == printed.strip()

        machines = [{**names, "key": str(path), "seal": "5e" * 32} for path in keys]
        for machine in machines:
            exec(compile(several, str(GUIDE), "exec"), machine)  # noqa: S102 - our own page
        out = io.StringIO()
        with (
            serving(machines[0]["app"]) as service,
            serving(machines[1]["app"]) as other,
            contextlib.redirect_stdout(out),
        ):
            asked = {"taskbound": taskbound, "service": service, "other": other}
            exec(compile(agent, str(GUIDE), "exec"), asked)  # noqa: S102 - our own page
            exec(compile(elsewhere, str(GUIDE), "exec"), asked)  # noqa: S102 - our own page
        for machine in machines:
            machine["follower"].stop()
            machine["verifier"].close()
        assert out.getvalue().split("\n") == [*printed.strip().split("\n"), told.strip(), ""]


@pytest.mark.parametrize("library", [0, 1], ids=["mcp", "fastmcp"])
def test_the_guides_server_of_mcp_does_what_was_permitted_and_refuses_what_was_not(
    tmp_path: Path, library: int
) -> None:
    program, _, *servers, agent, _, _ = blocks("python", GUIDE)
    (printed,) = [one for one in blocks("", GUIDE) if one.startswith("said ")]
    with opened(tmp_path) as world:
        names: dict[str, Any] = {
            "issuer": world.origin,
            "folder": str(tmp_path / "service"),
            "key": str(tmp_path / "echo.pem"),
        }
        registered(world, "echo", tmp_path / "echo.pem")
        exec(compile(program, str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        exec(compile(servers[library], str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        acting: dict[str, Any] = {}
        exec(compile(blocks("python")[0], "actions.md", "exec"), acting)  # noqa: S102 - our own page
        key = ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private))
        taskbound = acting["Taskbound"](world.origin, world.one.token(), key)
        out = io.StringIO()
        with listening(names["app"]) as port, contextlib.redirect_stdout(out):
            asked = {"taskbound": taskbound, "service": f"http://127.0.0.1:{port}"}
            exec(compile(agent, str(GUIDE), "exec"), asked)  # noqa: S102 - our own page
        names["follower"].stop()
        names["verifier"].close()
        assert out.getvalue().strip() == printed.strip()
