"""What anybody may read: the keys that verify tokens, and status lists. It is served as it is.

1. The document of keys has the next one, the current one, and a retired one until its last token has ended;
   never one that was revoked (RFC 7517 §5).
2. A status list is signed by the signer, from rows, and kept for as long as it says itself: ten seconds. So
   what was revoked is said within that, to whoever asks a list alone.
3. A number that no list has now is refused here: whoever makes numbers up makes the signer do nothing.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.token import is_published
from taskbound.core.token.status import is_listed
from taskbound.flows.token.signing import UnknownStatusListError

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.flows.means import Means
    from taskbound.ports.token import SignedList, TokenSigner


_KEPT: Final = 8


class Published:
    """What is published; safe from any thread."""

    def __init__(self, means: Means, signer: TokenSigner) -> None:
        """Keep what to work with."""
        self._means = means
        self._signer = signer
        self._lists: dict[int, SignedList] = {}
        self._lock = Lock()

    def keys(self) -> bytes:
        """The document of keys, canonical JSON (rule 1)."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            shown = [one for one in snapshot.tokens.all_keys() if is_published(one, now)]
        keys: list[JsonValue] = [json.loads(one.public) for one in shown]
        return canonical({"keys": keys})

    def status_list(self, number: int) -> str:
        """The status list token of this number (rule 2).

        Raises:
            UnknownStatusListError: There is none now.
            UnavailableError: It can't be signed now.
        """
        now = self._means.clock.now()
        if not is_listed(number, now):
            raise UnknownStatusListError(f"there is no status list `{number}` now")  # 3
        with self._lock:
            kept = self._lists.get(number)
            if kept is not None and now < kept.until:
                return kept.text
        fresh = self._signer.sign_status_list(number)
        with self._lock:
            held = [*self._lists.items(), (number, fresh)][-_KEPT:]
            self._lists = {one: each for one, each in held if each.until > now}
        return fresh.text
