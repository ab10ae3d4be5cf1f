"""Everything that proves somebody at the network API, right or with one fault (`tests.corpus.edges`).

An API process before a daemon within the test, one trust domain, one issuer on raw sockets, agents with keys.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.upstream.mcp.http.connect import look_up
from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import parse_selector
from taskbound.core.identity.trust import parse_bundle, parse_trust
from taskbound.flows.identity import register_person
from taskbound.flows.identity.agent import AgentKeys, add_selector
from taskbound.flows.identity.workload import (
    AssertionVerifier,
    JwtSvidVerifier,
    Proofs,
    add_trust,
    take_bundle,
)
from tests.corpus.edges import Case
from tests.peers.domain import Domain
from tests.peers.issuing import Issuing
from tests.peers.rawhttp import Asked, Say
from tests.proofs import CLIENT
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.holding import STRANGER, Holding, binding
from tests.token_world import ISSUER
from tests.tokens import Signer, b64, es256
from tests.world import ANN, CEILING, scope_of

T = TypeVar("T")
FIRST = es256("k1", seed=7)
OPENID = "/.well-known/openid-configuration"
INSIDE = "https://inside.example"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
_numbers = count()


def parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token."""
    header, claims = (
        json.loads(urlsafe_b64decode(one + "=" * (-len(one) % 4))) for one in text.split(".")[:2]
    )
    return header, claims


class Edge(Acting):
    """The API's edge."""

    def __init__(self, one: Holding, folder: Path) -> None:
        super().__init__(one, folder)
        self.folder = folder
        self.secrets: set[str] = set()
        self.corp, self.elsewhere = Domain("corp.example"), Domain("other.example")
        adapters = self.world.adapters
        trust = parse_trust("default", "corp.example", source="file", place="/corp.json")
        add_trust(adapters, trust, bootstrap=b"", actor=ANN, owns=True)
        take_bundle(adapters, trust, parse_bundle(self.corp.bundle()))
        self.behaviour = ""
        self.issuing = self.run(_entered(Issuing(takes=self._takes)))
        for name, issuer in (("idp", self.issuing.issuer), ("inside", INSIDE)):
            known = IdentityIssuer(
                namespace="default", name=name, issuer=issuer, audience=ISSUER, use=IssuerUse.WORKLOADS
            )
            self._know(known)
        self.select("coder")
        self.prove_anew()
        self.strange = AgentKeys(adapters, self.keys._custody, audience="https://other.example")  # noqa: SLF001 - the same keys
        self._settle_acme()

    def _know(self, issuer: IdentityIssuer) -> None:
        self.world.store.write(lambda tx: tx.workloads.put_identity_issuer(issuer))

    def close(self) -> None:
        self.run(self.issuing.__aexit__(None, None, None))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the daemon's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.one.place.daemon.loop).result(20)

    def _settle_acme(self) -> None:
        """Another namespace, with a person and an agent of the same names."""
        world = self.world
        register_person(world.adapters, "acme", "ann", uid=1000, actor=ANN)
        world.agents.register(
            "acme",
            "coder",
            owner="ann",
            approvers=("ann",),
            monitor="world:1",
            ceiling=scope_of(CEILING),
            actor=ANN,
        )
        world.agents.test_monitor("acme", "coder", ANN)
        world.agents.acknowledge("acme", "coder", world.monitor.messages[-1]["code"], ANN)
        world.agents.activate("acme", "coder", ANN)
        self.keys.renew("acme", "coder", actor=ANN, owns=True)

    def select(self, agent: str) -> None:
        """Have an SVID and an issuer's token prove this agent."""
        for kind, issuer, subject in (
            (WorkloadKind.JWT_SVID, "corp.example", f"spiffe://corp.example/agents/{agent}"),
            (WorkloadKind.OIDC, "idp", agent),
        ):
            selector = parse_selector(
                "default", agent, kind=kind.value, issuer=issuer, subjects=(subject,), claims=()
            )
            add_selector(self.world.adapters, selector, actor=ANN, owns=True)

    def prove_anew(self) -> None:
        """Believe no key that was fetched before, and remember no issuer that failed."""
        adapters = self.world.adapters
        keys = IssuerKeys(HttpDocuments(patience=0.5, look=_private))
        self.one.place.daemon.proofs = Proofs(
            adapters,
            {
                WorkloadKind.KEY: AssertionVerifier(adapters, audience=ISSUER),
                WorkloadKind.JWT_SVID: JwtSvidVerifier(adapters, audience=ISSUER),
                WorkloadKind.OIDC: OidcVerifier(self.world.store, keys, JoserfcCheck()),
            },
        )

    # --- an issuer that behaves ------------------------------------------------------------------

    async def _takes(self, asked: Asked, say: Say) -> bool:
        """What the issuer answers."""
        issuer = self.issuing.issuer
        named: dict[str, Any] = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}
        keys: Sequence[Mapping[str, Any]] = [FIRST.members]
        match self.behaviour:
            case "slow":
                await say.gone()
                return True
            case "failing":
                await say.answer(500, b"{}")
                return True
            case "redirecting":
                await say.answer(302, b"", headers=f"Location: {issuer}/other\r\n")
                return True
            case "another":
                named["issuer"] = "https://evil.example"
            case "elsewhere":
                named["jwks_uri"] = "http://127.0.0.1:1/jwks"
            case "huge":
                keys = [{**FIRST.members, "kid": f"k{number}"} for number in range(10_000)]
            case "dripping" if asked.target == "/jwks":
                await say.raw(
                    b"HTTP/1.1 200 X\r\nContent-Length: 900\r\nContent-Type: application/json\r\n\r\n"
                )
                await say.gone()
                return True
            case _:
                pass
        body = named if asked.target == OPENID else {"keys": keys}
        await say.answer(200, json.dumps(body).encode())
        return True

    # --- what proves somebody --------------------------------------------------------------------

    def made(self, what: str, case: Case, agent: str) -> str:
        """A credential as it is right, at this moment; what happens elsewhere to it is `case.world`."""
        now = self.world.clock.now() // 1_000_000
        other = case.world == "other-audience"
        match what:
            case "person":
                space = "acme" if case.world == "other-namespace" else "default"
                audience = "https://other.example" if other else ISSUER
                return self.one.person(namespace=space, audience=audience)
            case "subject":
                task = self.world.start(agent=agent)
                audience = "https://other.example" if other else ISSUER
                return self.one.tokens.issue(task, audience=audience, binding=binding()).text
            case "assertion":
                keys = self.strange if other else self.keys
                return keys.assertion("default", agent)
            case "svid":
                domain = self.elsewhere if case.world == "other-domain" else self.corp
                return domain.token(f"/agents/{agent}", aud=[ISSUER], iat=now, exp=now + 120)
            case _:
                issuer = INSIDE if case.issuer == "private" else self.issuing.issuer
                return FIRST.token("JWT", iss=issuer, sub=agent, aud=ISSUER, iat=now, exp=now + 3600)

    def faulty(self, what: str, case: Case, text: str) -> str:
        """The credential with the fault that its text has."""
        header, claims = parts(text)
        if case.claims or case.header or case.signer:
            signer = self._signer(what, case, header)
            if what in {"dpop", "form"} and case.signer == "stranger":
                header["jwk"] = STRANGER.numbers
            head, body = {**header, **case.header}, {**claims, **case.claims}
            text = signer.raw(json.dumps(head).encode(), json.dumps(body).encode())
        if case.long:
            first, _, last = text.split(".")
            body = {**claims, "pad": "x" * (case.long * 3 // 4)}
            text = f"{first}.{b64(json.dumps(body).encode())}.{last}"
        if case.cut:
            text = text[: -case.cut]
        if case.flip:
            at = len(text) - case.flip
            text = f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}"
        return text

    def _signer(self, what: str, case: Case, header: dict[str, Any]) -> Signer:
        if case.signer != "own":
            return STRANGER
        if what == "svid":
            return Signer(private=self.corp.jwt_key, kid=self.corp.kid, alg="ES256")
        if what == "assertion":
            kept = json.loads((self.folder / "signer" / "agents" / header["kid"]).read_text())
            private = serialization.load_pem_private_key(kept["key"].encode(), password=None)
            assert isinstance(private, EllipticCurvePrivateKey)
            return Signer(private=private, kid=header["kid"], alg="ES256")
        return FIRST if what == "oidc" else CLIENT

    def parameters(self, what: str, text: str) -> dict[str, str]:
        """What proves a client with this credential."""
        if what == "oidc":
            return {
                "actor_token": text,
                "actor_token_type": JWT,
                "client_assertion": "",
                "client_assertion_type": "",
            }
        return {"client_assertion": text, **({"client_assertion_type": SPIFFE} if what == "svid" else {})}


async def _entered(issuing: Issuing) -> Issuing:
    return await issuing.__aenter__()


async def _private(host: str, port: int) -> Sequence[str]:
    """The addresses of a name; one leads into somebody's own network."""
    return ("10.0.0.7",) if host == INSIDE.removeprefix("https://") else await look_up(host, port)
