"""The digest of exported files: found at their end, told from damage, and no obstacle to other readers."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from floodseg.errors import CheckpointError
from floodseg.runtimes.seal import check_seal, seal


@pytest.fixture(params=["m.onnx", "m.xml"])
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two small files that stand for an exported model; the graph of ONNX is one field of protobuf."""
    path = tmp_path / request.param
    path.write_bytes(b"\x12\x05graph" if path.suffix == ".onnx" else b"<net>graph</net>")
    path.with_suffix(".bin").write_bytes(bytes(range(256)) * 5000)  # more than is read at once
    seal(path)
    return path


def test_a_sealed_file_may_be_renamed_and_moved(sealed: Path) -> None:
    check_seal(sealed)
    place = sealed.parent / "elsewhere"
    place.mkdir()
    for suffix in (sealed.suffix, ".bin"):
        sealed.with_suffix(suffix).rename((place / "other").with_suffix(suffix))
    check_seal(place / f"other{sealed.suffix}")


def test_every_change_of_a_byte_is_noticed(sealed: Path) -> None:
    sound = sealed.read_bytes()
    for at in range(len(sound)):
        sealed.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(CheckpointError):
            check_seal(sealed)
    for end in range(len(sound)):
        sealed.write_bytes(sound[:end])
        with pytest.raises(CheckpointError):
            check_seal(sealed)
    sealed.write_bytes(sound + b"\n")
    with pytest.raises(CheckpointError, match=r"is cut off, or no file that floodseg export wrote; copy it again, or"):
        check_seal(sealed)


def test_weights_beside_an_openvino_model_belong_to_it(sealed: Path) -> None:
    weights = sealed.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    if sealed.suffix == ".onnx":
        check_seal(sealed)
        return
    with pytest.raises(CheckpointError, match=r"m\.xml: was changed or damaged, or m\.bin beside it, after floodseg"):
        check_seal(sealed)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"m\.bin: cannot be read \(No such file or directory\); copy it again"):
        check_seal(sealed)


def test_other_readers_see_a_file_of_its_format(sealed: Path) -> None:
    if sealed.suffix == ".xml":
        assert ElementTree.parse(sealed).getroot().text == "graph"
        return
    import onnx

    model = onnx.ModelProto.FromString(sealed.read_bytes())
    assert model.producer_name == "graph"
    [entry] = model.metadata_props
    assert (entry.key, len(entry.value)) == ("floodseg-sha256", 64)
