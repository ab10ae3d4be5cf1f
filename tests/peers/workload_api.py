"""A SPIFFE Workload API of the tests' own that speaks the real gRPC (grpcio), and fails as told.

    with WorkloadApi(tmp_path) as api:
        api.x509, api.jwt = {"spiffe://corp.example": der}, {"spiffe://corp.example": jwks}
        api.say()            # to every stream that is open
        api.fail = "PERMISSION_DENIED"

It is strict where the standard is: a call without `workload.spiffe.io: true` gets InvalidArgument.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # grpcio publishes no types


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    """A field with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(number: int, entries: dict[str, bytes]) -> bytes:
    """A map of texts to bytes in this field, as protocol buffers write it."""
    return b"".join(field(number, field(1, key.encode()) + field(2, value)) for key, value in entries.items())


class WorkloadApi:
    """One server on a socket in a folder, or on a port of the loopback."""

    def __init__(self, folder: Path | None) -> None:
        """Serve at `agent.sock` in the folder, or on a port where there is none."""
        self.x509: dict[str, bytes] = {}
        self.jwt: dict[str, bytes] = {}
        self.fail = ""
        """The name of a status that every call ends with, at once."""
        self.missing: set[str] = set()
        """Methods that it does not offer."""
        self.silent = False
        """Whether calls are taken and nothing is said."""
        self.raw: dict[str, bytes] = {}
        """By method: what is said in place of the message."""
        self.calls: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._state = 0
        self._drops = 0
        self._folder = folder
        self.place = ""
        self._server: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, again or for the first time, at the same place."""
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16))
        self._server.add_generic_rpc_handlers((_Calls(self),))
        if self._folder is not None:
            self.place = f"unix://{self._folder / 'agent.sock'}"
            self._server.add_insecure_port(f"unix:{self._folder / 'agent.sock'}")
        else:
            self.place = f"tcp://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        """End, and with it every stream."""
        self.drop()
        self._server.stop(0).wait()

    def say(self) -> None:
        """Say to every open stream what there is now."""
        with self._changed:
            self._state += 1
            self._changed.notify_all()

    def drop(self) -> None:
        """End every open stream."""
        with self._changed:
            self._drops += 1
            self._changed.notify_all()

    def stream(self, method: str, context: Any) -> Iterator[bytes]:
        """One call of a stream, as the standard has it."""
        said = {str(one.key): str(one.value) for one in context.invocation_metadata()}
        self.metadata.append(said)
        self.calls.append(method)
        if said.get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        if self.fail:
            context.abort(getattr(grpc.StatusCode, self.fail), "as the test has it")
        with self._changed:
            seen, drops = -1, self._drops
        context.add_callback(self.wake)
        while context.is_active():
            with self._changed:
                while not self._due(seen, drops) and context.is_active():
                    self._changed.wait()
                if self._drops != drops:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
                seen = self._state
            if context.is_active():
                yield self.raw.get(method) or self.state(method)

    def _due(self, seen: int, drops: int) -> bool:
        return (not self.silent and self._state != seen) or self._drops != drops

    def wake(self) -> None:
        """Have every stream look whether somebody still hears it."""
        with self._changed:
            self._changed.notify_all()

    def state(self, method: str) -> bytes:
        """All that there is."""
        return message(2, self.x509) if method == "FetchX509Bundles" else message(1, self.jwt)


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # as above
    def __init__(self, api: WorkloadApi) -> None:
        self._api = api

    def service(self, details: Any) -> Any:
        service, _, method = str(details.method).lstrip("/").rpartition("/")
        if service != "SpiffeWorkloadAPI" or method in self._api.missing:
            return None
        streaming: Callable[[bytes, Any], Iterator[bytes]] = lambda _request, context: (  # noqa: E731 -- one expression
            self._api.stream(method, context)
        )
        return grpc.unary_stream_rpc_method_handler(streaming)
