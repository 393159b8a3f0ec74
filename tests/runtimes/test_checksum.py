"""Checksum of exported files: detection of damage, and compatibility with other readers."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from floodseg.errors import CheckpointError
from floodseg.runtimes.checksum import append_checksum, verify_checksum


@pytest.fixture(params=["m.onnx", "m.xml"])
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Small files in place of an exported model; the ONNX graph is one protobuf field."""
    path = tmp_path / request.param
    path.write_bytes(b"\x12\x05graph" if path.suffix == ".onnx" else b"<net>graph</net>")
    path.with_suffix(".bin").write_bytes(bytes(range(256)) * 5000)
    append_checksum(path)
    return path


def test_renamed_and_moved_file_passes(finished: Path) -> None:
    verify_checksum(finished)
    folder = finished.parent / "elsewhere"
    folder.mkdir()
    for suffix in (finished.suffix, ".bin"):
        finished.with_suffix(suffix).rename((folder / "other").with_suffix(suffix))
    verify_checksum(folder / f"other{finished.suffix}")


def test_every_changed_byte_is_detected(finished: Path) -> None:
    intact = finished.read_bytes()
    for at in range(len(intact)):
        finished.write_bytes(intact[:at] + bytes([intact[at] ^ 1]) + intact[at + 1 :])
        with pytest.raises(CheckpointError):
            verify_checksum(finished)
    for end in range(len(intact)):
        finished.write_bytes(intact[:end])
        with pytest.raises(CheckpointError):
            verify_checksum(finished)
    finished.write_bytes(intact + b"\n")
    with pytest.raises(CheckpointError, match=r"is truncated, or was not written by floodseg export; copy it again"):
        verify_checksum(finished)


def test_openvino_checksum_covers_the_weights(finished: Path) -> None:
    weights = finished.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    if finished.suffix == ".onnx":
        verify_checksum(finished)
        return
    with pytest.raises(CheckpointError, match=r"m\.xml or m\.bin: was changed or damaged after the export; copy it"):
        verify_checksum(finished)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"m\.bin: cannot be read \(No such file or directory\); copy it again"):
        verify_checksum(finished)


def test_other_readers_can_read_the_file(finished: Path) -> None:
    if finished.suffix == ".xml":
        assert ElementTree.parse(finished).getroot().text == "graph"
        return
    import onnx

    model = onnx.ModelProto.FromString(finished.read_bytes())
    assert model.producer_name == "graph"
    [entry] = model.metadata_props
    assert (entry.key, len(entry.value)) == ("floodseg-sha256", 64)
