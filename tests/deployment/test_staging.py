"""Staging folder of exports, and publication of finished files."""

import errno
from pathlib import Path

import pytest

from floodseg.deployment.staging import publish, staging_folder


def test_staging_folder_is_private_hidden_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "new/m.xml"
    with staging_folder(path) as folder:
        assert folder.parent == path.parent
        assert folder.name.startswith(".m.floodseg-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "m.xml").touch()
    assert not [*path.parent.iterdir()]


def test_leftovers_of_killed_runs_are_removed_but_folders_in_use_are_kept(tmp_path: Path) -> None:
    killed, of_other_file = tmp_path / ".m.floodseg-killed", tmp_path / ".m2.floodseg-killed"
    for leftover in (killed, of_other_file):
        leftover.mkdir()
        (leftover / ".lock").touch()
        (leftover / "graph.onnx").touch()
    with staging_folder(tmp_path / "m.onnx") as first, staging_folder(tmp_path / "m.onnx") as second:
        assert first != second
        assert first.exists()
        assert not killed.exists()
    assert [*tmp_path.iterdir()] == [of_other_file]


def test_errors_name_the_target_file(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    with pytest.raises(OSError, match="No space left") as raised, staging_folder(path) as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "graph.onnx"))
    assert raised.value.filename == str(path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("fails", ["m.bin", "m.xml"])
def test_failed_publish_never_combines_new_weights_with_old_graph(tmp_path: Path, monkeypatch, fails: str) -> None:
    staging = tmp_path / "made"
    staging.mkdir()
    for folder, content in ((tmp_path, "old"), (staging, "new")):
        (folder / "m.xml").write_text(content)
        (folder / "m.bin").write_text(content)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == fails:
            raise OSError(errno.EIO, "it fails")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="it fails"):
        publish(staging / "m.xml", tmp_path / "m.xml")
    assert not (tmp_path / "m.xml").exists()
    monkeypatch.undo()
    if fails == "m.xml":
        (staging / "m.bin").write_text("new")
    publish(staging / "m.xml", tmp_path / "m.xml")
    assert [(tmp_path / name).read_text() for name in ("m.xml", "m.bin")] == ["new", "new"]
