"""A device that signs counts its signatures; one that counts back may be a copy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.identity.passkey import CountsBackError

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Transaction


def count_on(tx: Transaction, signatures: Signatures, key: PersonKey, signature: bytes) -> PersonKey:
    """The key after a signature that verifies ; to be asked wherever a signature is used.

    Raises:
        CountsBackError: Its device counts back.
    """
    counter = signatures.counter(key, signature)
    if not counter and not key.counter:
        return key
    if counter <= key.counter:
        raise CountsBackError(f"the device of key `{key.id}` counts back: it may have been copied")
    after = replace(key, counter=counter, version=key.version + 1)
    tx.identities.put_person_key(after, expect=key.version)
    return after
