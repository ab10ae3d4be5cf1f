from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from taskbound import Client, Proof, SubjectToken
from taskbound.core.task import TaskState
from taskbound.sdk.guard.client import Client as Guarding
from tests.house.tree import ROOT
from tests.sdk.notes import CEILING, note
from tests.sdk.notes_afar import Distant, Starting, distant
from tests.surfaces.network.test_acting_guide import blocks
from tests.world import ANN

GUIDE = ROOT / "docs" / "guides" / "sdk.md"
REFERENCE = ROOT / "docs" / "reference" / "sdk.md"


def run(program: str, /, **names: object) -> dict[str, object]:
    found = {"Path": Path, "Client": Client, "Proof": Proof, "SubjectToken": SubjectToken, **names}
    exec(compile(program, str(GUIDE), "exec"), found)  # noqa: S102 - our own page
    return found


def test_the_guides_client_over_the_network_can_be_made() -> None:
    assert "client" in run(blocks("python", GUIDE)[1])


def test_the_programs_of_the_reference_start_tasks_over_the_network_and_hand_a_part_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, handing, second = blocks("python", REFERENCE)

    def work(one: Distant) -> None:
        here = Starting(one)
        one.world.add_agent("helper", ceiling=CEILING)
        one.one.keys.renew("default", "helper", actor=ANN, owns=True)

        def client(_origin: str, *, proof: Proof, subject: SubjectToken) -> Guarding:
            own = SubjectToken(read=here.person, key=here.pem) if subject.key else subject
            return here.client(proof=one.proof() if proof.kind == "token" else proof, subject=own)

        def noted(file: str, text: str) -> None:
            assert (file, text) == ("/srv/notes/today", "buy milk")
            told = {"ORIGIN": "", "PROOF_OF_HELPER": one.proof("helper"), "Client": client}
            run(second, text=run(handing, client=here.clients[0])["text"], **told)
            assert note("hello") == "noted hello"

        run(first, Client=client, note=noted)
        assert [(each["agent"], each["purpose"]) for each in here.begun()] == [
            ("coder", "keep notes"),
            ("helper", "the notes of june"),
        ]
        assert list(here.states().values()) == [TaskState.COMPLETED] * 2
        for each in here.clients:
            each.close()

    distant(tmp_path, work, monkeypatch)


def test_the_guides_issuer_of_ones_own_writes_keys_that_its_tokens_are_signed_with(tmp_path: Path) -> None:
    (program,) = blocks("python", ROOT / "docs" / "guides" / "workload-identity.md")
    (tmp_path / "issue.py").write_text(program)
    said = [
        subprocess.run(
            [sys.executable, "issue.py", "helper"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    keys = KeySet.import_key_set(json.loads((tmp_path / "keys.json").read_text()))
    for one in said:  # the key is made once
        claims = jwt.decode(one.stdout.strip(), keys, algorithms=["ES256"]).claims
        told = {name: claims[name] for name in ("iss", "sub", "aud")}
        assert told == {"iss": "https://issuer.example", "sub": "helper", "aud": "urn:taskbound:default"}
        assert claims["exp"] == claims["iat"] + 300
    assert said[0].stdout != said[1].stdout
