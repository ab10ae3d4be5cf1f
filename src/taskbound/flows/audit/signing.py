"""The signer's rule: it never vouches for two logs that contradict each other, whoever asks.

1. It signs for the origins that it was given at its start, and no other.
2. What it signs only appends to what it signed last, by a consistency proof that it verifies against its own
   memory: the asker's word counts for nothing.
3. The memory is durable before the signature exists. A crash between the two is safe: what was about to be
   signed is then the only thing of its size that can be, and asking again gives it.
4. Asked again for the same, it gives the same, and makes the memory durable once more: a crash may have left
   it written and not yet durable.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from taskbound.core.audit import (
    Checkpoint,
    make_verifier_key,
    open_checkpoint,
    parse_checkpoint,
    render_note,
    verify_consistency,
)
from taskbound.ports.signer import CheckpointOlderError, OriginUnknownError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.core.audit import VerifierKey, Verify
    from taskbound.ports.signer import SignedHeads, SigningKey


class CheckpointSigner:
    """Signs checkpoints of the logs that it was given; safe from any thread."""

    def __init__(
        self, *, origins: Iterable[str], key: SigningKey, heads: SignedHeads, verify: Verify
    ) -> None:
        """Sign for these origins (rule 1).

        Args:
            origins: The names of the logs; each is also the name of the key in its notes.
            key: What signs.
            heads: What it remembers; no other signer may write to it.
            verify: Checks a signature.

        Raises:
            VerifierKeyError: An origin can't be the name of a key.
        """
        self._keys = {origin: make_verifier_key(origin, key.public) for origin in origins}
        self._key = key
        self._heads = heads
        self._verify = verify
        self._lock = Lock()

    def verifier_key(self, origin: str) -> str:
        """The log's public key as a vkey.

        Raises:
            OriginUnknownError: It is not one of its origins.
        """
        return self._require_key(origin).text

    def last_signed(self, origin: str) -> Checkpoint:
        """What it was about to sign last; size 0 when nothing was.

        Raises:
            OriginUnknownError: It is not one of its origins.
            SignerUnavailableError: Its memory can't be read.
        """
        self._require_key(origin)
        with self._lock:
            return self._heads.read(origin)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """A signed note of the checkpoint.

        Raises:
            OriginUnknownError: It is not one of its origins.
            CheckpointOlderError: It has signed for a larger log.
            TamperedError: The log does not only append to what was signed, or is none.
            SignerUnavailableError: Its memory can't be read or made durable; nothing was signed.
        """
        key = self._require_key(origin)  # 1
        wanted = parse_checkpoint(Checkpoint(origin=origin, size=size, root=root).text)
        with self._lock:
            last = self._heads.read(origin)
            if wanted.size < last.size:
                raise CheckpointOlderError(
                    f"a log of {last.size} records was signed for already, {size} is fewer"
                )
            if wanted != last:
                verify_consistency(last.size, size, proof, last.root, root)  # 2
            self._heads.write(wanted)  # 3 and 4
            note = render_note(wanted.text, [(key, self._key.sign(wanted.text.encode()))])
        # A signature that went wrong in the making never leaves: it could give the key away.
        open_checkpoint(note, key, self._verify)
        return note

    def _require_key(self, origin: str) -> VerifierKey:
        key = self._keys.get(origin)
        if key is None:
            raise OriginUnknownError(f"the signer does not sign for `{origin[:128]!a}`")
        return key
