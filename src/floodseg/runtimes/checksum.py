"""SHA-256 checksum of an exported file, verified before a native reader sees the bytes.

ONNX Runtime and OpenVINO map with a damaged graph without a word, or fail late. The checksum is the last thing in the
file, because it covers all bytes before it: in ONNX one more entry of ``metadata_props``, in OpenVINO a comment after
the root of the ``.xml``, which covers the ``.bin`` too. Other programs read the file as before. It detects damage; it
is not a signature.
"""

import hashlib
from pathlib import Path

from floodseg.errors import CheckpointError

_NAME = b"floodseg-sha256"
_DIGITS = 64
_AROUND: dict[str, tuple[bytes, bytes]] = {
    # protobuf: field 14 of the model (83 bytes) with field 1, the key, and field 2, the value, each after its length
    ".onnx": (b"\x72\x53\x0a\x0f" + _NAME + b"\x12\x40", b""),
    ".xml": (b"\n<!-- " + _NAME + b" ", b" -->\n"),
}
"""Bytes before and after the hexadecimal digits, by the suffix of the file."""


def append_checksum(path: Path) -> None:
    """Add the checksum to a finished file; the weights of an OpenVINO model lie beside it."""
    before, after = _AROUND[path.suffix]
    digits = _digits(path, path.read_bytes())
    with path.open("ab") as stream:
        stream.write(before + digits + after)


def verify_checksum(path: Path) -> None:
    """Return if an exported file, with its weights, is unchanged.

    Raises:
        CheckpointError: the file is cut off, was changed, belongs to another ``.bin`` or has no checksum; or it cannot
            be read.
    """
    before, after = _AROUND[path.suffix]
    try:
        content = path.read_bytes()
        end = max(0, len(content) - len(before) - _DIGITS - len(after))
        body, tail = content[:end], content[end:]
        if not (tail.startswith(before) and tail.endswith(after)):
            raise CheckpointError(
                f"{path}: is cut off, or is not a file that floodseg export wrote; copy it again, or export the model "
                "again"
            )
        intact = tail == before + _digits(path, body) + after
    except OSError as error:
        raise CheckpointError(f"{error.filename or path}: cannot be read ({error.strerror}); copy it again") from error
    if not intact:
        weights = "" if path.suffix == ".onnx" else f", or {path.with_suffix('.bin').name} beside it,"
        raise CheckpointError(
            f"{path}: was changed or damaged{weights} after floodseg export wrote it; copy it again, or export the "
            "model again"
        )


def _digits(path: Path, body: bytes) -> bytes:
    """Return the SHA-256 of the file's content without its checksum, and of an OpenVINO model's weights."""
    digest = hashlib.sha256(body)
    if path.suffix == ".xml":
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest().encode()
