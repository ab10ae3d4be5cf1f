"""One token of each kind, as its issuer writes it, and who has to be believed for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, seconds
from taskbound.wire.jose import (
    CLIENT_ASSERTION,
    EVIDENCE,
    ID_TOKEN,
    JWT_SVID,
    PERSON_TOKEN,
    SERVICE_TOKEN,
    STATUS_LIST,
    TASK_TOKEN,
    TRANSACTION_TOKEN,
    UNTYPED_ASSERTION,
    WORKLOAD_TOKEN,
    Jws,
    SignatureCheck,
    TokenKind,
    Trust,
    parse_jws,
    verify_jws,
)
from tests.tokens import NOW, Signer, es256

US = "https://auth.example.com"
THEM = "https://issuer.example.com"
API = "https://api.example.com/tickets"
WORKLOAD = "spiffe://corp.example/agents/planner"


def read_jws(text: str, *, kind: TokenKind, trust: Trust, check: SignatureCheck, now: Instant) -> Jws:
    """The token that the text is, read and believed."""
    return verify_jws(parse_jws(text, kind=kind), trust=trust, check=check, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a token of a kind says."""

    name: str
    kind: TokenKind
    issuer: str
    audience: str
    claims: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)

    def text(self, signer: Signer, **claims: Any) -> str:
        """The token; a claim that is `...` is left out."""
        return signer.token(self.kind.typ, header=self.header, **{**self.claims, **claims})

    def trust(self, *keys: Signer) -> Trust:
        """Whom to believe for it."""
        return Trust(issuer=self.issuer, audience=self.audience, keys=tuple(one.jwk for one in keys))

    def read(self, text: str, *keys: Signer, now: int, trust: Trust | None = None) -> Jws:
        """The token, believed by these keys."""
        return read_jws(
            text,
            kind=self.kind,
            trust=trust or self.trust(*keys),
            check=JoserfcCheck(),
            now=Instant(seconds(now)),
        )


_TIMES = {"iat": NOW - 60, "exp": NOW + 60}
_ACCESS = {
    "iss": US,
    "aud": API,
    "client_id": "agent:planner",
    "namespace": "default",
    "cnf": {"jkt": es256().jwk.thumbprint},
    "status": {"status_list": {"idx": 4_711, "uri": f"{US}/status/7"}},
    **_TIMES,
}

SAMPLES = [
    Sample(
        name="evidence",
        kind=EVIDENCE,
        issuer=THEM,
        audience="urn:taskbound:default",
        claims={"iss": THEM, "sub": "OPS-17", "aud": "urn:taskbound:default", **_TIMES},
    ),
    Sample(
        name="task token",
        kind=TASK_TOKEN,
        issuer=US,
        audience=API,
        claims={
            **_ACCESS,
            "sub": "person:ann",
            "act": {"sub": "agent:planner"},
            "task": "tsk_1",
            "scope": "task",
            "authorization_details": [{"type": "taskbound_task", "task": "tsk_1"}],
        },
    ),
    Sample(
        name="person token",
        kind=PERSON_TOKEN,
        issuer=US,
        audience=API,
        claims={**_ACCESS, "sub": "person:ann", "client_id": "console", "scope": "operations"},
    ),
    Sample(
        name="service token",
        kind=SERVICE_TOKEN,
        issuer=US,
        audience=US,
        claims={
            **_ACCESS,
            "aud": US,
            "sub": "service:pay",
            "client_id": "service:pay",
            "scope": "service",
            "service": "pay",
            "proven_by": es256().jwk.thumbprint,
        },
    ),
    Sample(
        name="transaction token",
        kind=TRANSACTION_TOKEN,
        issuer=US,
        audience="corp.example",
        claims={
            "iss": US,
            "sub": "person:ann",
            "aud": "corp.example",
            "txn": "act_1",
            "scope": "orders.refund",
            "req_wl": "agent:planner",
            "tctx": {"tool": "shop__refund", "action": "act_1"},
            **_TIMES,
        },
    ),
    Sample(
        name="status list",
        kind=STATUS_LIST,
        issuer=US,
        audience="",
        claims={
            "iss": US,
            "sub": f"{US}/status/7",
            "aud": ...,
            "jti": ...,
            "ttl": 30,
            "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
            **_TIMES,
        },
    ),
    Sample(
        name="client assertion",
        kind=CLIENT_ASSERTION,
        issuer="agent:planner",
        audience=US,
        claims={"iss": "agent:planner", "sub": "agent:planner", "aud": US, **_TIMES},
    ),
    Sample(
        name="untyped assertion",
        kind=UNTYPED_ASSERTION,
        issuer="agent:planner",
        audience=US,
        claims={"iss": "agent:planner", "sub": "agent:planner", "aud": US, **_TIMES},
    ),
    Sample(
        name="JWT-SVID",
        kind=JWT_SVID,
        issuer="corp.example",
        audience=US,
        claims={"iss": ..., "sub": WORKLOAD, "aud": [US], "jti": ..., **_TIMES},
    ),
    Sample(
        name="workload token",
        kind=WORKLOAD_TOKEN,
        issuer=THEM,
        audience=US,
        claims={
            "iss": THEM,
            "sub": "system:serviceaccount:agents:planner",
            "aud": [US],
            "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "planner"}},
            **_TIMES,
        },
    ),
    Sample(
        name="ID token",
        kind=ID_TOKEN,
        issuer=THEM,
        audience="taskbound",
        claims={
            "iss": THEM,
            "sub": "248289761001",
            "aud": "taskbound",
            "azp": "taskbound",
            "nonce": "n-0S6_WzA2Mj",
            "auth_time": NOW - 70,
            "amr": ["hwk"],
            "jti": ...,
            **_TIMES,
        },
    ),
]
"""Each kind once."""
