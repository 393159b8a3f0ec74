"""The digest at the end of an exported file, which is compared before a native reader sees the bytes.

Native readers take what looks like a graph: one whose weights have other bits maps in silence, others fail late. The
digest is the last thing in the file, so that whoever moves the file moves it too, and other programs read the file as
before: in ONNX it is one more entry of ``metadata_props``, in OpenVINO's XML a comment after the root, which covers the
weights in the ``.bin``, too. It tells damage; it is no signature.
"""

import hashlib
from pathlib import Path

from floodseg.errors import CheckpointError

_NAME = b"floodseg-sha256"
_DIGITS = 64
_PART = 2**20
_AROUND: dict[str, tuple[bytes, bytes]] = {
    # protobuf: field 14 of the model, of 83 bytes: field 1, the key, and field 2, the value, each with its length
    ".onnx": (b"\x72\x53\x0a\x0f" + _NAME + b"\x12\x40", b""),
    ".xml": (b"\n<!-- " + _NAME + b" ", b" -->\n"),
}
"""What stands before and after the digits, by the suffix of the file."""


def seal(path: Path) -> None:
    """Add the digest to a file that is finished; an OpenVINO model's weights lie beside it."""
    before, after = _AROUND[path.suffix]
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as stream:
        stream.write(before + digest + after)


def check_seal(path: Path) -> None:
    """Return where an exported file, with its weights, is what was written.

    Raises:
        CheckpointError: it is not whole, was changed, or was never sealed; or it cannot be read.
    """
    before, after = _AROUND[path.suffix]
    try:
        end = path.stat().st_size - len(before) - _DIGITS - len(after)
        with path.open("rb") as stream:
            stream.seek(max(0, end))
            tail = stream.read()
        if end < 0 or not (tail.startswith(before) and tail.endswith(after)):
            raise CheckpointError(
                f"{path}: is cut off, or no file that floodseg export wrote; copy it again, or export the model again"
            )
        intact = _digest(path, end) == tail[len(before) : len(before) + _DIGITS]
    except OSError as error:
        raise CheckpointError(f"{error.filename or path}: cannot be read ({error.strerror}); copy it again") from error
    if not intact:
        weights = "" if path.suffix == ".onnx" else f", or {path.with_suffix('.bin').name} beside it,"
        raise CheckpointError(
            f"{path}: was changed or damaged{weights} after floodseg export wrote it; copy it again, or export the "
            "model again"
        )


def _digest(path: Path, end: int) -> bytes:
    """Return the digits for the first ``end`` bytes of a file, and for weights that belong to it."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while end > 0 and (part := stream.read(min(_PART, end))):
            digest.update(part)
            end -= len(part)
    if path.suffix == ".xml":
        with path.with_suffix(".bin").open("rb") as stream:
            while part := stream.read(_PART):
                digest.update(part)
    return digest.hexdigest().encode()
