"""An OpenBao whose database engine makes logins in a private PostgreSQL, with a token for exactly that."""

from __future__ import annotations

import json
import urllib.error
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskbound.adapters.targets.openbao import OpenbaoTarget
from taskbound.core.target import OpenbaoAccess, OpenbaoKind, OpenbaoPlace
from tests.peers.minter import ADMIN, MARK, PREFIX, Orders, minting
from tests.peers.openbao import Bao

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.ports.target import Minted, Target


READER = OpenbaoKind(
    mount="database",
    role="reader",
    gives={"password": "PGPASSWORD", "username": "PGUSER"},
    open=("username",),
)
POLICY = f"""
path "database/roles" {{ capabilities = ["list"] }}
path "database/roles/reader" {{ capabilities = ["read"] }}
path "database/roles/{PREFIX}*" {{ capabilities = ["create", "read", "update", "delete"] }}
path "database/creds/{PREFIX}*" {{ capabilities = ["read"] }}
path "sys/leases/lookup/database/creds*" {{ capabilities = ["list", "sudo"] }}
path "sys/leases/revoke-prefix/database/creds/{PREFIX}*" {{ capabilities = ["update", "sudo"] }}
path "auth/token/renew-self" {{ capabilities = ["update"] }}
"""
_PASSWORDS = 'length = 43\nrule "charset" { charset = "abcdefghijklmnopqrstuvwxyz234567" }'
CREATION = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT 20",
    'GRANT readers TO "{{name}}"',
)
REVOCATION = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{{name}}') THEN ALTER ROLE "{{name}}" NOLOGIN; END IF;
END $$
"""
_OTHERS = (f"TB_{MARK}_x", "tb_", f"tb_{MARK}", "tb_abcdefgx_" + "a" * 35, f"x{PREFIX}other")
_numbers = count()


@dataclass(slots=True)
class Leasing:
    """Both servers."""

    bao: Bao
    orders: Orders
    admin: str = ""
    """The token with the policy."""

    def target(
        self,
        *,
        token: str = "",
        port: int = 0,
        seen: Callable[[], Target[Any]] | None = None,
        kinds: tuple[OpenbaoKind, ...] = (READER,),
        alone: bool = False,
    ) -> OpenbaoTarget:
        """As the admin sees it."""
        address = f"http://127.0.0.1:{port}" if port else self.bao.address
        place = OpenbaoPlace(address=address, seen_in="" if alone else "orders-db")
        access = OpenbaoAccess(token=token or self.admin)
        return OpenbaoTarget(place, access, kinds, None if alone else seen or self.orders.target)

    def token(self, policy: str, **more: Any) -> str:
        """A token with this policy alone."""
        name = f"p{next(_numbers)}"
        self.bao.ask("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        told = {"policies": [name], "no_default_policy": True, **more}
        made: str = self.bao.ask("POST", "auth/token/create", told)["auth"]["client_token"]
        return made

    def connect(self, **more: Any) -> None:
        """Have the engine come to the database."""
        folder = quote(str(self.orders.server.folder))
        told = {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@/orders?host={folder}",
            "username": ADMIN.user,
            "password": ADMIN.password,
            "password_authentication": "scram-sha-256",
            "password_policy": "long",
            "username_template": "{{.RoleName}}",
            "allowed_roles": ["*"],
        }
        self.bao.ask("POST", "database/config/orders", told | more)

    def write_role(self, name: str, **more: Any) -> None:
        """A role of the engine."""
        told = {
            "db_name": "orders",
            "creation_statements": list(CREATION),
            "revocation_statements": [REVOCATION],
            "default_ttl": "1h",
            "max_ttl": "24h",
        }
        self.bao.ask("POST", f"database/roles/{name}", told | more)

    def role(self, name: str) -> object:
        """A role as the engine shows it; None for none."""
        return self._data("GET", f"database/roles/{name}")

    def leases(self, name: str) -> tuple[str, ...]:
        """Ids of the leases under a name."""
        return self._keys(f"sys/leases/lookup/database/creds/{name}")

    def names(self, prefix: str = PREFIX) -> set[str]:
        """Of copies, and of what has leases, by a prefix."""
        found = {*self._keys("database/roles"), *self._keys("sys/leases/lookup/database/creds")}
        return {one.strip("/") for one in found if one.startswith(prefix)}

    def placed(self, minted: Minted) -> Minted:
        """With where the database is."""
        place = self.orders.place()
        where = {"PGHOST": place.host, "PGDATABASE": place.database}
        return replace(minted, open={**minted.open, **where})

    @contextmanager
    def foreign(self) -> Iterator[Callable[[], object]]:
        """Roles of others, of which one has a lease; all that the server shows of them."""
        for one in _OTHERS:
            self.write_role(one)
        lease = self.bao.ask("GET", f"database/creds/{_OTHERS[0]}")["lease_id"]

        def state() -> object:
            looked = self.bao.ask("PUT", "sys/leases/lookup", {"lease_id": lease})["data"]
            return (
                [(one, self.role(one), self.leases(one)) for one in (*_OTHERS, "reader")],
                looked["expire_time"],
            )

        try:
            yield state
        finally:
            self.bao.ask("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
            with self.orders.owner() as owner:
                owner.execute(f'DROP ROLE "{_OTHERS[0]}"'.encode())
            for one in _OTHERS:
                self.bao.ask("DELETE", f"database/roles/{one}")

    def log(self) -> str:
        """What the server writes is read nowhere: it has the statements of nobody."""
        return ""

    def _keys(self, path: str) -> tuple[str, ...]:
        found = self._data("LIST", path)
        return tuple(found["keys"]) if found else ()

    def _data(self, method: str, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.bao.ask(method, path)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 404 and json.loads(error.read()) == {"errors": []}:
                return None
            raise
        return found


@contextmanager
def leasing(folder: Path, *, kept: bool = False) -> Iterator[Leasing]:
    """Both, for the length of the context; what the OpenBao knows is on a disk where it is `kept`."""
    with minting() as orders:
        bao = Bao(folder, transit=False, kept=kept)
        try:
            there = Leasing(bao, orders)
            bao.ask("PUT", "sys/policies/password/long", {"policy": _PASSWORDS})
            bao.ask("POST", "sys/mounts/database", {"type": "database"})
            there.connect()
            there.write_role("reader")
            there.admin = there.token(POLICY, period="1h")
            yield there
        finally:
            bao.end()
