"""Every credential with every fault, over real HTTP: one named error, the record that is owed, no secret.

Issue's list *Bad input*; G7 (A127, A130 to A136, A141) and G8 (A150 to A152, A154) at the network's edge.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dev.reference import ROOT
from taskbound.core.task import TaskEvent
from taskbound.core.token import TokenKeyState
from taskbound.core.token.exchange import ACCESS_TOKEN
from taskbound.flows.token import revoke_token
from tests.corpus.edges import Case, cases
from tests.surfaces.network.edge import Edge, parts
from tests.surfaces.network.holding import held
from tests.surfaces.network.serving import Answer
from tests.wiring.running import until
from tests.world import ANN

CASES = cases()
KINDS = ("person", "subject", "dpop", "form", "assertion", "svid", "oidc")
_CODE = re.compile(r"\[([a-z-]+)\]$")


def test_each_case_stands_once_names_an_error_of_the_reference_and_is_never_ours_to_mend() -> None:
    assert len({one.id for one in CASES}) == len(CASES)
    assert {one.what for one in CASES} == set(KINDS)
    known = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    for one in CASES:
        assert f"`{one.expect}`" in known, one
        assert 400 <= one.status < 500, one
        assert one.records == (not one.edge and one.expect != "no-task"), one
        assert one.edge == (one.status in {413, 431}), one


class Tried:
    """What a case was answered, and what stayed of it."""

    def __init__(self, edge: Edge, log: pytest.LogCaptureFixture) -> None:
        self.edge, self.log = edge, log

    def send(self, what: str, case: Case, text: str, agent: str, *, right: bool) -> Answer:
        """Show a credential where it belongs."""
        edge = self.edge
        edge.secrets.add(text)
        match what:
            case "person":
                target = "/v1/status"
                if case.world == "other-namespace" and not right:
                    target = f"/v1/tasks/{self.task}"
                return edge.one.ask("GET", target, text)
            case "subject":
                space = {"namespace": "acme"} if case.world == "other-namespace" and not right else {}
                proven = edge.keys.assertion(space.get("namespace", "default"), agent)
                form = edge.form(text, ACCESS_TOKEN, client_assertion=proven, **space)
                edge.secrets.add(proven)
                return edge.exchange(form)
            case "dpop":
                return edge.one.say("GET", "/v1/status", Authorization=f"DPoP {self.token}", DPoP=text)
            case "form":
                return edge.post("/oauth/token", edge.form(self.task), DPoP=text)
            case _:
                space = {"namespace": "acme"} if case.world == "other-namespace" and not right else {}
                proof = edge.dpop()
                edge.secrets.add(proof)
                return edge.post(
                    "/oauth/token", edge.form(self.task, **edge.parameters(what, text), **space), DPoP=proof
                )

    def made(self, case: Case, agent: str) -> str:
        """The credential as it is right at this moment."""
        edge = self.edge
        match case.what:
            case "dpop":
                self.token = edge.one.person()
                edge.secrets.add(self.token)
                return edge.one.shown("GET", "/v1/status", self.token)["DPoP"]
            case "form":
                return edge.dpop()
            case _:
                return edge.made(case.what, case, agent)

    def case(self, case: Case) -> None:
        """The case, and right before it the same without its fault."""
        edge, world = self.edge, self.edge.world
        agent = f"gone{case.id.partition('.e')[2]}{case.what}" if case.world == "suspended" else "coder"
        if agent != "coder":
            world.add_agent(agent)
            edge.keys.renew("default", agent, actor=ANN, owns=True)
            edge.select(agent)
        self.task = world.start(agent=agent).id
        if case.issuer:
            edge.prove_anew()
        plain = Case(id=case.id, what=case.what, expect="ok", why="twin")
        right = self.made(plain, agent)
        answer = self.send(case.what, plain, right, agent, right=True)
        assert answer.status == 200, (case, answer.body)

        edge.behaviour = case.issuer
        if case.issuer:
            edge.prove_anew()
        if not case.again:
            world.clock.advance(case.early)
            right = self.made(case, agent)
            world.clock.advance(-case.early)
        text = edge.faulty(case.what, case, right)
        self.happen(case, text, agent)
        world.clock.advance(case.wait)
        records, proofs = len(world.records()), len(world.events("proof-refused"))
        edges = len(world.events("request-refused")) + case.edge
        self.log.clear()
        answer = self.send(case.what, case, text, agent, right=False)
        edge.behaviour = ""
        assert answer.status == case.status, (case, answer.status, answer.body, self.codes())
        assert self.code(answer) == case.expect, (case, answer.body, self.codes())
        if case.error:
            assert answer.json["error"] == case.error, (case, answer.body)
        until(lambda: len(world.events("request-refused")) >= edges, f"{case} is recorded")
        assert [one["code"] for one in world.events("request-refused")[edges - case.edge :]] == [
            case.expect
        ] * case.edge, case
        told = world.events("proof-refused")[proofs:]
        assert [one["code"] for one in told] == [case.expect] * case.records, case
        assert len(world.records()) == records + case.records + case.edge, case

    def happen(self, case: Case, text: str, agent: str) -> None:
        """What happens before it is shown."""
        world = self.edge.world
        match case.world:
            case "revoked":
                jti = parts(text)[1]["jti"]
                revoke_token(world.adapters, "default", jti, ANN, owns=True, why="lost")
            case "key-revoked":
                keys = self.edge.one.tokens.keys
                keys.revoke(self.edge.one.tokens.kid(TokenKeyState.CURRENT), ANN, why="stolen")
            case "task-ended":
                task = parts(text)[1]["task"]
                world.tasks.end("default", task, TaskEvent.CANCEL, ANN, reason="done")
            case "suspended":
                world.agents.suspend("default", agent, ANN, reason="strange")
            case _:
                pass

    def codes(self) -> list[str]:
        """The codes of refusals that the daemon has logged."""
        lines = [
            one.getMessage() for one in self.log.records if one.name == "taskbound.surfaces.api.server.reply"
        ]
        return [found[1] for one in lines if (found := _CODE.search(one))]

    def code(self, answer: Answer) -> str:
        """The one named error; where OAuth has no word for it, as the daemon has logged it."""
        if answer.code:
            return answer.code
        (code,) = set(self.codes())
        return code


@pytest.mark.parametrize("what", KINDS)
def test_g7_g8_a_credential_with_one_fault_gets_one_error_and_leaves_what_is_owed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    caplog.set_level(logging.DEBUG)
    kept: list[str] = []
    handler = _Keeping(kept.append)
    logging.getLogger().addHandler(handler)

    try:
        with edged(tmp_path) as edge:
            tried = Tried(edge, caplog)
            for case in CASES:
                if case.what == what:
                    tried.case(case)
            logged = "\n".join([*kept, edge.there.process.words, str(edge.world.records())])
            assert len(edge.secrets) > 10
            for secret in edge.secrets:
                assert secret not in logged
                for part in secret.split(".")[1:]:  # claims, and the signature
                    assert len(part) < 20 or part not in logged
    finally:
        logging.getLogger().removeHandler(handler)


class _Keeping(logging.Handler):
    """Keeps every line of every log, with what went wrong."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        self._keep(self.format(record))


@contextmanager
def edged(folder: Path) -> Iterator[Edge]:
    """An API that logs at level `debug`, and clients that send it malformed requests."""
    with held(folder, "--log-level", "debug") as one, closing(Edge(one, folder)) as edge:
        yield edge
