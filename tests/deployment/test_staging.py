"""Staging folder of exports, and the move of finished files."""

import errno
from pathlib import Path

import pytest

from floodseg.deployment.staging import publish, staging_folder


def test_it_is_private_hidden_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new/m.xml"
    with staging_folder(path) as folder:
        assert folder.parent == path.parent
        assert folder.name.startswith(".m.floodseg-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "m.xml").touch()
    assert not [*path.parent.iterdir()]


def test_what_killed_runs_left_is_cleared_and_what_others_use_is_not(tmp_path: Path) -> None:
    killed, kin = tmp_path / ".m.floodseg-killed", tmp_path / ".m2.floodseg-killed"
    for left in (killed, kin):
        left.mkdir()
        (left / ".lock").touch()
        (left / "graph.onnx").touch()
    with staging_folder(tmp_path / "m.onnx") as first, staging_folder(tmp_path / "m.onnx") as second:
        assert first != second
        assert first.exists()
        assert not killed.exists()
    assert [*tmp_path.iterdir()] == [kin]


def test_errors_name_the_file_that_the_user_knows(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    with pytest.raises(OSError, match="No space left") as raised, staging_folder(path) as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "graph.onnx"))
    assert raised.value.filename == str(path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("fails", ["m.bin", "m.xml"])
def test_new_weights_never_lie_beside_an_older_graph(tmp_path: Path, monkeypatch, fails: str) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for folder, content in ((tmp_path, "old"), (made, "new")):
        (folder / "m.xml").write_text(content)
        (folder / "m.bin").write_text(content)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == fails:
            raise OSError(errno.EIO, "it fails")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="it fails"):
        publish(made / "m.xml", tmp_path / "m.xml")
    assert not (tmp_path / "m.xml").exists(), "without it nothing is there"
    monkeypatch.undo()
    if fails == "m.xml":
        (made / "m.bin").write_text("new")
    publish(made / "m.xml", tmp_path / "m.xml")
    assert [(tmp_path / name).read_text() for name in ("m.xml", "m.bin")] == ["new", "new"]
