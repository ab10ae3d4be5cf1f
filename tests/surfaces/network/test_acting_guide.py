from __future__ import annotations

import contextlib
import io
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from joserfc.jwk import ECKey

from taskbound.wire.action import ActionRows, ListActions
from tests.house.tree import ROOT
from tests.proofs import CLIENT
from tests.surfaces.network import asking
from tests.wiring.running import client

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

GUIDE = ROOT / "docs" / "guides" / "actions.md"


def blocks(kind: str) -> list[str]:
    """The guide's blocks of this kind."""
    return [one.partition("\n```")[0] for one in GUIDE.read_text("utf-8").split(f"```{kind}\n")[1:]]


def test_the_guides_program_acts_on_what_is_permitted_and_tells_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(asking, "ISSUER", origin)
    monkeypatch.setattr(asking, "HOST", origin.removeprefix("http://"))
    program, use = blocks("python")
    (printed,) = [one for one in blocks("") if one.startswith("I said")]
    with asking.asking(tmp_path, "--address", f"127.0.0.1:{port}") as one:
        names: dict[str, Any] = {
            "origin": origin,
            "token": one.token(),
            "key": ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private)),
        }
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(f"{program}\n{use}", str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        assert out.getvalue().strip() == printed.strip()
        with client(one.socket) as person:
            rows = person.ask(ListActions(), ActionRows).rows
        assert [(row.agent, row.tool, row.state) for row in rows] == [
            ("helper", "echo__say", "refused"),
            ("helper", "echo__say", "succeeded"),
        ]
