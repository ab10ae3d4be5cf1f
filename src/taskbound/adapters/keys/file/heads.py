"""What the signer was about to sign last, per log, in a file that is durable before it signs."""

from __future__ import annotations

import json
import re
from typing import Final

from taskbound.adapters.keys.file.disk import KeyTornError, read_private, replace_private
from taskbound.core.audit import EMPTY_ROOT, Checkpoint

HEADS_FILE: Final = "signed.json"
EMPTY_HEADS: Final = b'{"logs":{},"v":1}\n'
"""The memory of a new key: it is made with the key, so that one that is gone is missed."""

_LIMIT: Final = 1024 * 1024
_ROOT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class FileSignedHeads:
    """Reads the file each time, so that what it says is what the disk says."""

    def __init__(self, directory: int) -> None:
        """Keep the file in the directory of this descriptor, which this process holds."""
        self._directory = directory

    def read(self, origin: str) -> Checkpoint:
        """What was written last; size 0 when nothing was.

        Raises:
            KeyUnusableError: The file is gone, torn, or within others' reach.
        """
        return self._load().get(origin, Checkpoint(origin=origin, size=0, root=EMPTY_ROOT))

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace what is remembered of its log, durably.

        Raises:
            KeyUnusableError: The file is gone, torn, or within others' reach.
            SignerUnavailableError: It can't be made durable.
        """
        heads = {**self._load(), checkpoint.origin: checkpoint}
        replace_private(self._directory, HEADS_FILE, _render(heads))

    def _load(self) -> dict[str, Checkpoint]:
        return _parse(read_private(self._directory, HEADS_FILE, _LIMIT))


def _render(heads: dict[str, Checkpoint]) -> bytes:
    logs = {origin: {"root": one.root.hex(), "size": one.size} for origin, one in heads.items()}
    return json.dumps({"logs": logs, "v": 1}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _parse(data: bytes) -> dict[str, Checkpoint]:
    try:
        logs = json.loads(data)["logs"]
        heads = {str(origin): _parse_head(str(origin), one) for origin, one in logs.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise KeyTornError(f"`{HEADS_FILE}` can't be read") from error
    if _render(heads) != data:
        raise KeyTornError(f"`{HEADS_FILE}` is not as it was written")
    return heads


def _parse_head(origin: str, value: dict[str, object]) -> Checkpoint:
    size, root = value["size"], value["root"]
    if type(size) is not int or not isinstance(root, str) or _ROOT.fullmatch(root) is None:
        raise KeyTornError(f"`{HEADS_FILE}` holds no checkpoint of `{origin[:128]!a}`")
    return Checkpoint(origin=origin, size=size, root=bytes.fromhex(root))
