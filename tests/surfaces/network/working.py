"""Workloads before a real API: a trust domain and an issuer of the tests' own, and agents that they prove."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskbound.wire.connection import Done
from taskbound.wire.workload import AddIdentityIssuer, AddSelector, AddTrust, ClaimText
from tests.peers.domain import Domain, Issued
from tests.peers.issuing import Issuing
from tests.surfaces.network.asking import Asking, asking
from tests.surfaces.network.certificates import Authority, client_context
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER
from tests.tokens import Signer
from tests.wiring.running import AGENT, client

CORP = "corp.example"
PLANNER = f"spiffe://{CORP}/agents/planner"
OPENID = "/.well-known/openid-configuration"
JWT = "urn:ietf:params:oauth:token-type:jwt"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
UNPROVEN = {"client_assertion": "", "client_assertion_type": ""}


class Working:
    """An API with TLS, the daemon behind it, and a trust domain."""

    def __init__(self, asked: Asking, servers: Authority, folder: Path) -> None:
        self.asked, self.servers, self.folder = asked, servers, folder
        self.domain = Domain(CORP, now=datetime.now(UTC))
        self.show(None)

    def show(self, svid: Issued | None) -> None:
        """Connect with this certificate from now on."""
        context = client_context(self.servers)
        if svid is not None:
            file = self.folder / "svid.pem"
            file.touch(0o600)
            file.write_bytes(svid.pem())
            context.load_cert_chain(file)
        self.asked.there.tls = context

    def believe(self, source: str, place: str, *, domain: str = CORP) -> None:
        """Believe a trust domain."""
        with client(self.asked.socket) as one:
            one.ask(AddTrust(domain=domain, source=source, place=place, bound=60), Done)

    def publish(self, *roots: Issued, **more: Any) -> Path:
        """The bundle's file, which is asked every second."""
        file = self.folder / "bundle.json"
        new = self.folder / "bundle.new"
        new.write_bytes(self.domain.bundle(*roots, **{"spiffe_refresh_hint": 1, **more}))
        new.replace(file)
        self.domain.sequence += 1
        return file

    def select(
        self,
        kind: str,
        issuer: str,
        *subjects: str,
        agent: str = AGENT,
        claims: Mapping[str, str] | None = None,
    ) -> None:
        """Have what says this prove an agent."""
        told = tuple(ClaimText(pointer=pointer, text=text) for pointer, text in (claims or {}).items())
        order = AddSelector(agent=agent, kind=kind, issuer=issuer, subjects=subjects, claims=told)
        with client(self.asked.socket) as one:
            one.ask(order, Done)

    def ask(self, **form: str) -> Answer:
        """The answer to who asks for a token with a DPoP key, and proves itself by this form."""
        return self.asked.post(
            "/oauth/token", self.asked.form(**{**UNPROVEN, **form}), DPoP=self.asked.dpop()
        )

    def by_certificate(self, **form: str) -> Answer | None:
        """The answer to who has a certificate and nothing else; none where TLS ended the connection."""
        try:
            return self.asked.post("/oauth/token", self.asked.form(**{**UNPROVEN, **form}))
        except (ssl.SSLError, ConnectionError):
            return None

    def assertion(self, path: str = "/agents/planner", **changes: Any) -> dict[str, str]:
        """What a JWT-SVID proves itself with, as a client."""
        plain: dict[str, Any] = {"aud": [ISSUER], **changes}
        return {"client_assertion_type": JWT_SPIFFE, "client_assertion": self.domain.token(path, **plain)}

    def refusals(self) -> int:
        """How many records of refused proofs of workloads there are; those of tokens may come later."""
        return self.asked.records("proof-refused", but='"form":"token"')


@contextmanager
def working(folder: Path) -> Iterator[Working]:
    """A daemon with a signer, an API with TLS and no file of authorities, and an agent with a task."""
    servers = Authority("servers")
    own = servers.issue(folder, "own", name="localhost")
    with asking(folder, "--certificate", str(own.chain), "--key", str(own.key), tls=servers) as one:
        yield Working(one, servers, folder)


class Discovery:
    """An issuer that publishes its keys, in a thread of its own."""

    def __init__(self, there: Issuing, key: Signer) -> None:
        self.there = there
        self.issuer = there.issuer
        self.key = key
        there.documents[OPENID] = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"}
        there.documents["/jwks"] = {"keys": [key.members]}

    def token(self, **claims: Any) -> dict[str, str]:
        """A token of a workload, as an actor's."""
        now = int(datetime.now(UTC).timestamp())
        plain: dict[str, Any] = {
            "iss": self.issuer,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 600,
            "nbf": now - 1,
            "jti": ...,
        }
        return {"actor_token_type": JWT, "actor_token": self.key.token("JWT", **plain | claims)}

    def trust(self, there: Working, name: str) -> None:
        """Have its word prove workloads."""
        order = AddIdentityIssuer(name=name, issuer=self.issuer, audience=ISSUER)
        with client(there.asked.socket) as one:
            one.ask(order, Done)


@contextmanager
def discovery(key: Signer) -> Iterator[Discovery]:
    """An issuer that answers until the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    there = Issuing()

    async def begin() -> None:
        await there.__aenter__()

    async def end() -> None:
        await there.__aexit__(None, None, None)

    try:
        asyncio.run_coroutine_threadsafe(begin(), loop).result()
        yield Discovery(there, key)
        asyncio.run_coroutine_threadsafe(end(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def claims_of_cluster() -> dict[str, Any]:
    """What a service account's token says in Kubernetes, beside what every token says."""
    return {
        "sub": "system:serviceaccount:agents:planner",
        "kubernetes.io": {
            "namespace": "agents",
            "node": {"name": "node-1", "uid": "7c1c5a3e-3c5c-4f1e-9a57-0c4f4a7f0001"},
            "pod": {"name": "planner-5d9c", "uid": "7c1c5a3e-3c5c-4f1e-9a57-0c4f4a7f0002"},
            "serviceaccount": {"name": "planner", "uid": "7c1c5a3e-3c5c-4f1e-9a57-0c4f4a7f0003"},
        },
    }


def claims_of_job(**changes: str) -> dict[str, Any]:
    """What a job's token says at GitHub Actions, beside what every token says."""
    plain: dict[str, Any] = json.loads(
        """
        {"sub": "repo:octo/app:ref:refs/heads/main", "ref": "refs/heads/main", "sha": "e5f1",
         "repository": "octo/app", "repository_owner": "octo", "repository_id": "74", "run_id": "12",
         "actor": "ann", "workflow": "deploy", "event_name": "push", "ref_type": "branch",
         "job_workflow_ref": "octo/app/.github/workflows/deploy.yml@refs/heads/main",
         "runner_environment": "github-hosted"}
        """
    )
    return plain | changes
