from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from joserfc.jwk import ECKey

from taskbound.core.tool.file import parse_tool_file
from taskbound.wire.action import ActionRows, ListActions
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done
from taskbound.wire.document import read_document
from taskbound.wire.identity import SetCeiling
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, ApplyTools, ToolChanges, ToolSaid
from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.proofs import CLIENT
from tests.surfaces.network import asking, serving_as
from tests.surfaces.network.serving_as import Serving
from tests.surfaces.network.test_acting_guide import blocks
from tests.wiring.running import AGENT, client, until

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

GUIDE = ROOT / "docs" / "guides" / "authzen.md"


def settle(one: asking.Asking) -> str:
    """Pin, declare and grant what the guide says; the task."""
    pinned, scope = (json.loads(text) for text in blocks("json", GUIDE))
    (file,) = blocks("yaml", GUIDE)
    (rule,) = blocks("cedar", GUIDE)
    said = parse_tool_file(read_document(file.encode(), "todo.yaml").value)
    raw = msgspec.Raw(json.dumps(scope).encode())
    with client(one.socket) as person:
        person.ask(msgspec.convert({"op": "upstream:add", **pinned_as(pinned)}, AddUpstream), Done)
        apply = ApplyTools(
            server=said.server,
            tools=tuple(
                ToolSaid(name=f"todo__{tool.name}", outcome="unwatched" if tool.unwatched else None)
                for tool in said.tools
            ),
        )
        seen = person.ask(apply, ToolChanges)
        assert [(row.what, row.after, row.relaxes) for row in seen.rows] == [("outcome", "unwatched", True)]
        person.ask(msgspec.structs.replace(apply, agreed=seen.digest, relax=True), ToolChanges)
        ceiling = {"grants": [{"tool": "todo__can_update_todo", "others": "any"}]}
        person.ask(SetCeiling(name=AGENT, ceiling=msgspec.Raw(json.dumps(ceiling).encode())), Done)
        seen_rule = person.ask(ProposeBundle(files={"todo.cedar": rule}), BundleAnswer)
        person.ask(ActivateBundle(digest=seen_rule.digest), BundleAnswer)
        order = StartTask(agent=AGENT, purpose="to serve the list", seconds=3600, scope=raw)
        return person.ask(order, TaskDetail).row.task


def pinned_as(told: dict[str, Any]) -> dict[str, Any]:
    definitions = tuple(msgspec.Raw(json.dumps(one).encode()) for one in told["definitions"])
    return {**told, "definitions": definitions}


def decided_for(one: asking.Asking, service: str) -> int:
    """How many decisions of this service's questions have a place in the log."""
    with client(one.socket) as person:
        records = person.ask(ExportAudit(limit=5000), ExportPage).records
    events = (json.loads(record)["event"] for record in records)
    return sum((one["kind"], one.get("service")) == ("action-decided", service) for one in events)


def test_the_guides_service_does_what_is_permitted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(asking, "ISSUER", origin)
    monkeypatch.setattr(serving_as, "ISSUER", origin)
    monkeypatch.setattr(asking, "HOST", origin.removeprefix("http://"))
    program, use, own = blocks("python", GUIDE)
    printed, served = (one.strip() for one in blocks("", GUIDE) if one.startswith("done"))
    with asking.asking(tmp_path, "--address", f"127.0.0.1:{port}") as one:
        task = settle(one)
        service = Serving(one, "todo", "todo__*", seed=61)
        names: dict[str, Any] = {
            "origin": origin,
            "token": one.token(subject_token=task),
            "own": service.token(),
            "shown": one.token(subject_token=task, resource=service.audience),
            "key": ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private)),
        }
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(f"{program}\n{use}", str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        assert out.getvalue().strip() == printed
        assert names["todos"].texts == {"1": "give the portal gun back", "2": "call home"}
        with client(one.socket) as person:
            rows = person.ask(ListActions(), ActionRows).rows
        told = [row.state for row in reversed(rows)]
        assert told == ["unwatched", *["refused"] * 3, "unwatched"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(own, str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        assert out.getvalue().strip() == served
        assert names["served"].texts["2"] == "call grandpa"
        until(lambda: decided_for(one, "todo") == 1, "the record names the service")
        names["todos"].decisions.token += "x"
        assert names["todos"].update("morty", "1", "stolen") == "no"
        one.end()
