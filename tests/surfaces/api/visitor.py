"""A browser's side of the page that the daemon serves, byte for byte, and a payment that waits for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from taskbound.wire import identity as wire
from taskbound.wire.approval import OpenApproval
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.page import parse_part
from tests.peers.holding import Answerers, hold_policy
from tests.peers.openssh import Device
from tests.peers.passkey import Browser, Passkeys
from tests.surfaces.api.test_operations import station
from tests.world import id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station


async def raw(port: int, data: bytes, address: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of what is answered; 0 where the connection was closed instead."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(data)
    try:
        async with asyncio.timeout(30):
            whole = await reader.read()
    except ConnectionError:
        whole = b""
    finally:
        writer.close()
    if not whole:
        return 0, {}, b""
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    fields = dict(one.split(": ", 1) for one in rest)
    return int(first.split(" ")[1]), fields, body


class Visitor:
    """A browser's side of one page."""

    def __init__(self, address: str) -> None:
        self.origin, _, self.token = address.partition("/#")
        self.port = int(self.origin.rpartition(":")[2])
        self.sitting = ""

    def request(self, path: str, body: bytes, **changes: str) -> bytes:
        fields = {
            "Host": f"localhost:{self.port}",
            "Origin": self.origin,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Sec-Fetch-Site": "same-origin",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    async def post(self, path: str, what: dict[str, Any], **changes: str) -> tuple[int, dict[str, Any]]:
        status, _, body = await raw(self.port, self.request(path, json.dumps(what).encode(), **changes))
        return status, json.loads(body) if body else {}

    async def begin(self) -> dict[str, Any]:
        status, shown = await self.post("/begin", {"token": self.token})
        assert status == 200, shown
        self.sitting = shown["sitting"]
        return shown

    async def make(self, device: Passkeys, challenge: bytes) -> tuple[int, dict[str, Any]]:
        made = device.make(challenge, Browser(origin=self.origin))
        parts = {"client": made.client_data, "credential": made.credential, "device": made.device_data}
        return await self.post(
            "/make", {"sitting": self.sitting} | {name: encode_base64url(one) for name, one in parts.items()}
        )

    async def sign(
        self, device: Passkeys, choice: str, statement: str, browser: Browser | None = None
    ) -> tuple[int, dict[str, Any]]:
        signed = device.assertion(statement.encode(), browser or Browser(origin=self.origin))
        parts = {
            "client": signed.client_data,
            "credential": signed.credential,
            "device": signed.device_data,
            "signature": signed.signature,
        }
        what = {"sitting": self.sitting, "choice": choice}
        return await self.post("/sign", what | {name: encode_base64url(one) for name, one in parts.items()})


def statement_of(shown: dict[str, Any], choice: str) -> str:
    return str(next(one["statement"] for one in shown["choices"] if one["name"] == choice))


async def enroll(client: AsyncClient, device: Passkeys, person: str = "ann") -> Visitor:
    opened = await client.ask(wire.OpenEnrollment(person=person, label="phone"), wire.PageOpened)
    visitor = Visitor(opened.address)
    shown = await visitor.begin()
    status, shown = await visitor.make(device, parse_part(shown["make"]["challenge"]))
    assert status == 200, shown
    statement = statement_of(shown, "enroll")
    status, said = await visitor.sign(device, "enroll", statement)
    assert status == 200, said
    ask = wire.ConfirmPersonKey(key=said["words"].split(" ")[0], fingerprint=fingerprint_of(statement))
    await client.ask(ask, wire.PersonKeyDetail)
    return visitor


def fingerprint_of(statement: str) -> str:
    return next(one for one in statement.splitlines() if one.startswith("key: ")).removeprefix("key: ")


class Asked(Answerers):
    """Ann has a passkey, and a payment waits for her confirmation."""

    def __init__(self, place: Station, client: AsyncClient, device: Passkeys) -> None:
        self.world, self.place, self.client, self.device = place.world, place, client, device
        with self.world.store.read() as snapshot:
            (self.key,) = snapshot.identities.person_keys("default")
        self.devices = {"ann": (self.key, Device())}
        self.task = self.world.start()
        self.action = id_of(self.world.ask(self.task))

    async def visit(self, action: str = "", *, deny: bool = False) -> Visitor:
        digest = self.approval(action or self.action).question.digest
        ask = OpenApproval(approval=action or self.action, digest=digest, deny=deny)
        return Visitor((await self.client.ask(ask, wire.PageOpened)).address)


@asynccontextmanager
async def asked(path: Path, *, rules: str = "") -> AsyncIterator[Asked]:
    async with station(path, policy=hold_policy("confirm") + rules) as place:
        client = await place.client()
        device = Passkeys()
        await enroll(client, device)
        yield Asked(place, client, device)
