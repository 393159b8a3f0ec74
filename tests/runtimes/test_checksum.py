"""Checksum of exported files: damage is detected, other readers are not disturbed."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from floodseg.errors import CheckpointError
from floodseg.runtimes.checksum import append_checksum, verify_checksum


@pytest.fixture(params=["m.onnx", "m.xml"])
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two small files that stand for an exported model; the graph of ONNX is one field of protobuf."""
    path = tmp_path / request.param
    path.write_bytes(b"\x12\x05graph" if path.suffix == ".onnx" else b"<net>graph</net>")
    path.with_suffix(".bin").write_bytes(bytes(range(256)) * 5000)
    append_checksum(path)
    return path


def test_a_file_may_be_renamed_and_moved(finished: Path) -> None:
    verify_checksum(finished)
    place = finished.parent / "elsewhere"
    place.mkdir()
    for suffix in (finished.suffix, ".bin"):
        finished.with_suffix(suffix).rename((place / "other").with_suffix(suffix))
    verify_checksum(place / f"other{finished.suffix}")


def test_every_change_of_a_byte_is_noticed(finished: Path) -> None:
    sound = finished.read_bytes()
    for at in range(len(sound)):
        finished.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(CheckpointError):
            verify_checksum(finished)
    for end in range(len(sound)):
        finished.write_bytes(sound[:end])
        with pytest.raises(CheckpointError):
            verify_checksum(finished)
    finished.write_bytes(sound + b"\n")
    with pytest.raises(
        CheckpointError, match=r"is cut off, or is not a file that floodseg export wrote; copy it again"
    ):
        verify_checksum(finished)


def test_weights_beside_an_openvino_model_belong_to_it(finished: Path) -> None:
    weights = finished.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    if finished.suffix == ".onnx":
        verify_checksum(finished)
        return
    with pytest.raises(CheckpointError, match=r"m\.xml: was changed or damaged, or m\.bin beside it, after floodseg"):
        verify_checksum(finished)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"m\.bin: cannot be read \(No such file or directory\); copy it again"):
        verify_checksum(finished)


def test_other_readers_see_a_file_of_its_format(finished: Path) -> None:
    if finished.suffix == ".xml":
        assert ElementTree.parse(finished).getroot().text == "graph"
        return
    import onnx

    model = onnx.ModelProto.FromString(finished.read_bytes())
    assert model.producer_name == "graph"
    [entry] = model.metadata_props
    assert (entry.key, len(entry.value)) == ("floodseg-sha256", 64)
