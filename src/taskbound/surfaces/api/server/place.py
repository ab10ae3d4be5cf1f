"""The installation of a daemon: its directory, accounts and external names."""

from __future__ import annotations

from dataclasses import field
from typing import Final
from urllib.parse import urlsplit

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Allowance
from taskbound.core.errors import DeniedError
from taskbound.flows.token import Issuing

DEFAULT_ISSUER: Final = "http://127.0.0.1:8700"
"""Where the API listens by itself, as `taskbound serve --port` has it."""

DEFAULT_GATEWAY: Final = "http://127.0.0.1:8701"
"""Where the gateway over HTTP listens by documentation."""


class NotOutsideError(DeniedError):
    """Only a person may do this, and the calling process runs beneath a gateway or a run."""

    code = "not-outside"
    remedy = "do it in a terminal of your own, outside of the agent's processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installation of a daemon: its directory, accounts and external names."""

    home: str
    pid: int
    owner_uid: int
    """The account that owns the data directory."""
    gateways: frozenset[tuple[int, str, str]] = frozenset()
    """Accounts without a person that may run a gateway: (uid, namespace, agent)."""
    egress: int | None = None
    api: int | None = None
    front: int | None = None
    broker: int | None = None
    """The accounts of an egress, of an API, of a front before gateways, and of a broker, that others run."""
    allowance: Allowance = field(default_factory=Allowance)
    """How many refusals of one agent are recorded one by one."""
    pace: Allowance = field(default_factory=lambda: Allowance(burst=200, rate=100))
    """How often one principal may ask over the network: so many times at once, then so many a second."""
    issuer: str = DEFAULT_ISSUER
    """Our own name as an issuer of tokens (RFC 8414): for whom what proves an agent has to be made."""
    gateway_origin: str = DEFAULT_GATEWAY
    """How the gateway over HTTP is known outside: what `resource_of` makes resources of."""
    trust_domain: str = ""
    """For whom transaction tokens are; empty for the host of the issuer."""

    def account(self, told: int | None) -> int:
        """Returns the configured account of a process, or else the owner's."""
        return self.owner_uid if told is None else told

    @property
    def issuing(self) -> Issuing:
        """Returns the names under which tokens are issued."""
        domain = self.trust_domain or urlsplit(self.issuer).hostname or self.issuer
        return Issuing(issuer=self.issuer, domain=domain)
