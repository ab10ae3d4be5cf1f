"""Thread that polls the bundle sources of trust domains.

1. One task follows each trusted domain and source. A change is noticed at once if this daemon made it, else
   within five seconds.
2. A bundle counts once it is stored (`flows.identity.trust`). A failed source is retried after 1, 2, 4 …
   seconds, at most half a minute and often enough for the bound; one that refuses, after its normal interval.
3. A failing or hanging source delays no other source, no decision and the daemon's end by at most two
   seconds. Names are resolved in `_NAMES` threads, because the system's resolver blocks.
4. The code of a source kind is loaded on first use.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.trust import TrustRefusedError, TrustSource
from taskbound.flows.identity.workload import BundleUpdate, take_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.identity.trust import Trust
    from taskbound.flows.means import Adapters
    from taskbound.ports.identity import BundleSource
    from taskbound.surfaces.api.operations.workload import Sources


_log = logging.getLogger(__name__)
_LOOK: Final = 5.0
"""Seconds until what another daemon changed is seen."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_END: Final = 2.0
_NAMES: Final = 64
"""Domains whose sources' names may be looked up at once (rule 3): those of two full namespaces."""
_PART: Final = 6


class Trusting:
    """Follows every trusted domain; `made` replaces the real bundle sources."""

    def __init__(
        self, adapters: Adapters, sources: Sources, *, made: Callable[[Trust], BundleSource] | None = None
    ) -> None:
        self._adapters = adapters
        self._sources = sources
        self._made = made or self._real
        self._thread = threading.Thread(target=self._run, name="trusting", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._changed: asyncio.Event
        self._begun = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._begun.wait()
        self._sources.attend(self._look)

    def leave(self) -> None:
        """Begins to stop; returns at once."""
        self._sources.attend(None)
        if self._loop is not None and self._main is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._main.cancel)

    def stop(self) -> None:
        self.leave()
        self._thread.join(_END)

    def _look(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it is ending
                self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._follow_all())

    async def _follow_all(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        self._changed = asyncio.Event()
        self._loop.set_default_executor(ThreadPoolExecutor(_NAMES, thread_name_prefix="names"))  # 3
        self._begun.set()
        followed: dict[tuple[object, ...], asyncio.Task[None]] = {}
        while True:
            self._changed.clear()
            try:
                with self._adapters.store.read() as snapshot:
                    trusts = snapshot.trusts.all_trusts()
            except TaskboundError as error:
                _log.warning("trust domains can't be read: %s [%s]", error.message, error.code)
            else:
                self._settle(followed, {_key(one): one for one in trusts})
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()

    def _settle(
        self, followed: dict[tuple[object, ...], asyncio.Task[None]], wanted: dict[tuple[object, ...], Trust]
    ) -> None:
        for key in [one for one in followed if one not in wanted or followed[one].done()]:
            followed.pop(key).cancel()
            if key not in wanted:
                self._sources.tell(str(key[0]), str(key[1]), "")
        for key, trust in wanted.items():
            if key not in followed:
                followed[key] = asyncio.get_running_loop().create_task(self._follow(trust))

    async def _follow(self, trust: Trust) -> None:
        longest = min(_LONGEST_PAUSE, trust.bound / seconds(1) / _PART)
        pause = _FIRST_PAUSE
        while True:
            wait = pause = min(pause, longest)
            try:
                async with aclosing(self._made(trust).states(trust)) as states:
                    async for bundle in states:
                        if take_bundle(self._adapters, trust, bundle) is BundleUpdate.UNWANTED:
                            return
                        self._tell(trust, "")
                        wait = pause = _FIRST_PAUSE
            except TrustRefusedError as error:
                wait = max(longest, trust.every / seconds(1))  # 2
                self._tell(trust, f"{error.message} [{error.code}]")
            except TaskboundError as error:
                self._tell(trust, f"{error.message} [{error.code}]")
            except Exception as error:  # noqa: BLE001 -- the task's outermost edge, rule 3
                _log.exception("the source of `%s` failed", trust.domain)
                self._tell(trust, f"the source failed ({type(error).__name__}); the log says more")
            await asyncio.sleep(wait)
            pause *= 2

    def _tell(self, trust: Trust, trouble: str) -> None:
        if self._sources.tell(trust.namespace, trust.domain, trouble) and trouble:
            _log.warning("the bundle of trust domain `%s` is not confirmed: %s", trust.domain, trouble)

    def _real(self, trust: Trust) -> BundleSource:
        match trust.source:
            case TrustSource.FILE:
                from taskbound.adapters.identity.spiffe.file import FileBundles  # noqa: PLC0415 -- OpenSSL

                return FileBundles()
            case TrustSource.WORKLOAD_API:
                from taskbound.adapters.identity.spiffe.workload_api import (  # noqa: PLC0415 -- HTTP/2: 5 MB
                    WorkloadApiBundles,
                )

                return WorkloadApiBundles()
            case TrustSource.HTTPS_WEB | TrustSource.HTTPS_SPIFFE:
                from taskbound.adapters.identity.spiffe.federation import (  # noqa: PLC0415 -- HTTP and TLS
                    EndpointBundles,
                )

                return EndpointBundles(self._known, self._adapters.clock.now)

    def _known(self, namespace: str, domain: str) -> Trust | None:
        with self._adapters.store.read() as snapshot:
            return snapshot.trusts.trust(namespace, domain)


def _key(trust: Trust) -> tuple[object, ...]:
    return (
        trust.namespace, trust.domain, trust.source, trust.place, trust.endpoint, trust.private, trust.bound,
    )  # fmt: skip  # what its source is asked by
