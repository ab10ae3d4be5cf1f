"""A client of OAuth's endpoints: an agent with its own key before a real API, daemon and signer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done
from taskbound.wire.identity import AcknowledgeMonitor, ActivateAgent, RegisterAgent, TestMonitor
from taskbound.wire.jose import token_hash
from taskbound.wire.task import EndTask, SaveTemplate
from taskbound.wiring.home import find_socket, make_home
from tests.proofs import CLIENT, proof
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.serving import Answer, Api, api
from tests.token_world import ISSUER
from tests.tokens import Signer
from tests.wiring.running import AGENT, SCOPE, Running, client, daemon, settle_in, status, until

HOST = ISSUER.removeprefix("https://")
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_numbers = count()


class Asking:
    """One API, the daemon behind it, and an agent whose task runs."""

    def __init__(self, there: Api, process: Running, home: Path, folder: Path) -> None:
        self.there, self.process, self.home = there, process, home
        self.socket = find_socket(home)
        until(lambda: status(self.socket).signer == "reachable", "the signer is there")
        self.task = settle_in(self.socket, folder)

    def signer(self, agent: str = AGENT) -> Signer:
        """Whoever has the agent's own key."""
        (kept,) = [
            (one.name, each)
            for one in self.home.rglob("agents/*")
            if one.is_file() and (each := json.loads(one.read_text()))["agent"] == agent
        ]
        private = serialization.load_pem_private_key(kept[1]["key"].encode(), password=None)
        assert isinstance(private, EllipticCurvePrivateKey)
        return Signer(private=private, kid=kept[0], alg="ES256")

    def assertion(self, agent: str = AGENT, **claims: Any) -> str:
        """What the agent proves itself with, once."""
        now = int(time.time())
        header = claims.pop("header", None)
        plain: dict[str, Any] = {
            "iss": f"agent:{agent}",
            "sub": f"agent:{agent}",
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": f"assertion-{next(_numbers)}",
        }
        return self.signer(agent).token("client-authentication+jwt", header=header, **plain | claims)

    def proven(self, agent: str = AGENT, **more: str) -> dict[str, str]:
        """The parameters that prove the agent."""
        return {"client_assertion_type": BEARER, "client_assertion": self.assertion(agent), **more}

    def form(self, **more: str) -> dict[str, str]:
        """What asks for a token of the task; a parameter without a value is left out."""
        plain = {
            "grant_type": GRANT,
            "subject_token": self.task,
            "subject_token_type": TASK_REFERENCE,
            "resource": ISSUER,
            **self.proven(),
        }
        return {name: value for name, value in (plain | more).items() if value}

    def dpop(self, target: str = "/oauth/token", verb: str = "POST", token: str = "", **claims: Any) -> str:
        """A proof of a request by the client's key."""
        made: dict[str, Any] = {
            "jti": f"proof-{next(_numbers)}",
            "htm": verb,
            "htu": ISSUER + target,
            "iat": int(time.time()),
            **({"ath": token_hash(token)} if token else {}),
            **claims,
        }
        return proof(made.pop("signer", CLIENT), **made)

    def post(self, target: str, form: Mapping[str, str] | str, **headers: str) -> Answer:
        """The answer to a form."""
        body = (form if isinstance(form, str) else urlencode(form)).encode()
        told = {"Host": HOST, "Content-Type": "application/x-www-form-urlencoded", **headers}
        told["Content-Length"] = str(len(body))
        return self.there.send(self.there.head("POST", target, **told) + body)

    def token(self, **more: str) -> str:
        """A token of the task."""
        answer = self.post("/oauth/token", self.form(**more), DPoP=self.dpop())
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])

    def get(self, target: str, **headers: str) -> Answer:
        """The answer to a request that reads."""
        return self.there.ask("GET", target, **{"Host": HOST, **headers})

    def shown(self, target: str, token: str, signer: Signer = CLIENT) -> Answer:
        """The answer to a request that reads, with a token and this key."""
        proven = self.dpop(target, "GET", token, signer=signer)
        return self.get(target, Authorization=f"DPoP {token}", DPoP=proven)

    def active(self, token: str, agent: str = AGENT) -> dict[str, Any]:
        """What a token is worth, as an agent is told."""
        answer = self.post("/oauth/introspect", self.proven(agent, token=token))
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def save_template(self, name: str) -> None:
        """A template with the scope of the task."""
        order = SaveTemplate(name=name, scope=msgspec.Raw(json.dumps(SCOPE).encode()), seconds=600)
        with client(self.socket) as one:
            one.ask(order, Done)

    def records(self, event: str, *, but: str = "") -> int:
        """How many records of this kind there are that have a place, but for those that say this."""
        with client(self.socket) as one:
            page = one.ask(ExportAudit(limit=5000), ExportPage)
        said = [str(record) for record in page.records]
        return sum(f'"{event}"' in one and (not but or but not in one) for one in said)

    def end(self) -> None:
        """End the task."""
        with client(self.socket) as one:
            one.ask(EndTask(task=self.task), Done)

    def add_agent(self, name: str, folder: Path) -> None:
        """Another agent of the same person."""
        monitor = folder / f"{name}-monitor"
        order = RegisterAgent(
            name=name,
            owner="alice",
            approvers=("alice",),
            monitor=f"file:{monitor}",
            ceiling=msgspec.Raw(json.dumps(SCOPE).encode()),
        )
        with client(self.socket) as one:
            one.ask(order, Done)
            one.ask(TestMonitor(name=name), Done)
            code = json.loads(monitor.read_bytes().splitlines()[-1])["code"]
            one.ask(AcknowledgeMonitor(name=name, code=code), Done)
            one.ask(ActivateAgent(name=name), Done)


@contextmanager
def asking(
    folder: Path, *flags: str, tls: Authority | None = None, told: tuple[str, ...] = ()
) -> Iterator[Asking]:
    """A daemon with a signer of its own (*told* is its own), an API before it, and an agent with a task."""
    home = folder / "home"
    make_home(home)
    with (
        daemon(home, "--issuer", ISSUER, *told) as process,
        api(
            find_socket(home), "--origin", ISSUER, *flags, tls=None if tls is None else client_context(tls)
        ) as there,
    ):
        yield Asking(there, process, home, folder)
