"""The installation's mark: made once, by whichever daemon is first, and the same for all from then on.

1. What is minted is found again by a name that holds it, so it is kept before anything is minted and never
   changes. Two daemons that begin at once end up with one.
2. It is no secret: it stands in the names of what is minted, and only has to differ from others'.
"""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.credential.name import MARK_LENGTH, parse_mark

if TYPE_CHECKING:
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


def open_mark(means: Means) -> str:
    """The store's mark, made now where there is none: 8 characters of a-z and 2-7.

    Raises:
        BadMarkError: The store holds what is none.
        StoreUnavailableError: The store can't be used.
    """
    made = b32encode(sha256(means.chance.secret().encode()).digest())[:MARK_LENGTH].decode().lower()

    def work(tx: Transaction) -> str:
        kept = tx.targets.mark()
        if not kept:
            tx.targets.put_mark(made)  # 1
        return kept or made

    return parse_mark(means.store.write(work))
