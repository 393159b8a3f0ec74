"""Only a folder with summary.json is finished, however a run ends."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from floodseg.errors import RunFolderError
from floodseg.products.folder import PRODUCTS, product_folder


def publish(path: Path, text: str, overwrite: bool = False, names: tuple[str, ...] = PRODUCTS) -> None:
    with product_folder(path, overwrite=overwrite, min_bytes=0) as folder:
        for name in names:
            (folder.staging / name).write_text(text)
        folder.publish()


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_products_appear_whole_and_nothing_else(tmp_path: Path) -> None:
    publish(tmp_path / "out", "new")
    assert everything(tmp_path) == ["out"]
    assert everything(tmp_path / "out") == sorted(PRODUCTS)


def test_finished_products_are_refused_then_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, "old")
    with pytest.raises(RunFolderError, match="holds finished products: add `overwrite`"):
        publish(out, "new")
    assert (out / "flood.tif").read_text() == "old"
    (out / "notes.txt").write_text("mine")
    publish(out, "new", overwrite=True, names=("flood.tif", "summary.json"))
    assert everything(out) == ["flood.tif", "notes.txt", "summary.json"]
    assert (out / "flood.tif").read_text() == "new"


def test_leftovers_of_an_unfinished_run_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "flood.tif").write_text("half")
    (tmp_path / ".out.floodseg-0123abcd").mkdir()
    (tmp_path / ".out2.floodseg-0123abcd").mkdir()
    publish(out, "new")
    assert (out / "flood.tif").read_text() == "new"
    assert everything(tmp_path) == [".out2.floodseg-0123abcd", "out"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_abandoned_run_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def abandoned() -> None:
        with product_folder(tmp_path / "out", overwrite=False, min_bytes=0) as folder:
            (folder.staging / "flood.tif").write_text("half")
            raise failure

    with pytest.raises(failure):
        abandoned()
    assert not everything(tmp_path)


def test_old_products_stay_until_the_new_ones_are_ready(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, "old")
    with product_folder(out, overwrite=True, min_bytes=0) as folder:
        assert folder.staging.stat().st_mode & 0o777 == 0o700
        assert everything(out) == sorted([*PRODUCTS, ".lock"])
    assert everything(out) == sorted(PRODUCTS)
    assert (out / "summary.json").read_text() == "old"


def test_a_failure_while_moving_leaves_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    publish(out, "old")
    move = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "flood.gpkg":
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space"):
        publish(out, "new", overwrite=True)
    assert not (out / "summary.json").exists()
    monkeypatch.undo()
    publish(out, "newer")
    assert everything(out) == sorted(PRODUCTS)


def test_a_killed_run_leaves_no_finished_products_and_no_lock(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from floodseg.products.folder import product_folder
        with product_folder(Path(sys.argv[1]), overwrite=False, min_bytes=0) as folder:
            (folder.staging / "summary.json").write_text("{}")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(out)], check=False)
    assert done.returncode == -9
    assert everything(out) == [".lock"]
    assert len(everything(tmp_path)) == 2  # the hidden folder is left, until the next run
    publish(out, "new")
    assert everything(tmp_path) == ["out"]
    assert everything(out) == sorted(PRODUCTS)


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    with product_folder(tmp_path / "out", overwrite=False, min_bytes=0) as first:
        with (
            pytest.raises(RunFolderError, match="another run writes its products there"),
            product_folder(tmp_path / "out", overwrite=True, min_bytes=0),
        ):
            pass
        assert first.staging.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(RunFolderError, match=r"cannot be written \(Permission denied\): give another `out_dir`"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=0),
    ):
        pass
    tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(RunFolderError, match="cannot be written"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=0),
    ):
        pass


def test_too_little_space_is_said_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFolderError, match="MB are free, and the products need at least 1000000000 MB"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=10**15),
    ):
        pass
    assert not everything(tmp_path)


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    image = tmp_path / "flood.tif"
    image.write_text("input")
    with (
        pytest.raises(RunFolderError, match="is read, and a product would take its name"),
        product_folder(tmp_path, overwrite=True, min_bytes=0, inputs=[str(image)]),
    ):
        pass
    assert image.read_text() == "input"


def test_a_mounted_volume_stages_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files cannot be moved over the border of a mount, so the hidden folder lies within it."""
    move = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.parent.parent == tmp_path:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return move(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    out = tmp_path / "out"
    with product_folder(out, overwrite=False, min_bytes=0) as folder:
        assert folder.staging.parent == out
        (folder.staging / "summary.json").write_text("new")
        folder.publish()
    assert everything(tmp_path) == ["out"]
    assert everything(out) == ["summary.json"]
