"""SHA-256 checksum of an exported file, verified before a native library reads the file.

ONNX Runtime and OpenVINO run damaged graphs without an error, or fail late. The checksum is at the end of the file and
covers all bytes before it. In ONNX it is an entry of ``metadata_props``. In OpenVINO it is a comment after the root of
the ``.xml``, and it also covers the ``.bin``. Other programs can still read the file. The checksum detects damage; it
is not a signature.
"""

import hashlib
from pathlib import Path

from floodseg.errors import CheckpointError

_NAME = b"floodseg-sha256"
_DIGITS_COUNT = 64
_DELIMITERS: dict[str, tuple[bytes, bytes]] = {
    # protobuf: field 14 of the model (83 bytes), with field 1 (key) and field 2 (value), each preceded by its length
    ".onnx": (b"\x72\x53\x0a\x0f" + _NAME + b"\x12\x40", b""),
    ".xml": (b"\n<!-- " + _NAME + b" ", b" -->\n"),
}
"""Bytes before and after the hexadecimal digits, by file suffix."""


def append_checksum(path: Path) -> None:
    """Append the checksum to a finished file; the ``.bin`` of an OpenVINO model must be beside it."""
    before, after = _DELIMITERS[path.suffix]
    digits = _sha256(path, path.read_bytes())
    with path.open("ab") as stream:
        stream.write(before + digits + after)


def verify_checksum(path: Path) -> None:
    """Verify an exported file and the ``.bin`` of an OpenVINO model.

    Raises:
        CheckpointError: the file is truncated or changed, does not belong to its ``.bin``, has no checksum, or cannot
            be read.
    """
    before, after = _DELIMITERS[path.suffix]
    try:
        content = path.read_bytes()
        end = max(0, len(content) - len(before) - _DIGITS_COUNT - len(after))
        body, tail = content[:end], content[end:]
        if not (tail.startswith(before) and tail.endswith(after)):
            raise CheckpointError(
                f"{path}: is truncated, or was not written by floodseg export; copy it again, or export the model again"
            )
        intact = tail == before + _sha256(path, body) + after
    except OSError as error:
        raise CheckpointError(f"{error.filename or path}: cannot be read ({error.strerror}); copy it again") from error
    if not intact:
        files = f"{path}" if path.suffix == ".onnx" else f"{path} or {path.with_suffix('.bin').name}"
        raise CheckpointError(
            f"{files}: was changed or damaged after the export; copy it again, or export the model again"
        )


def _sha256(path: Path, body: bytes) -> bytes:
    """Return the SHA-256 of the file without its checksum, followed by the ``.bin`` of an OpenVINO model."""
    digest = hashlib.sha256(body)
    if path.suffix == ".xml":
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest().encode()
