"""Product folder: publishing in one step, locks, failures and leftovers."""

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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_publish_leaves_only_the_products(tmp_path: Path) -> None:
    publish(tmp_path / "out", "new")
    assert names_in(tmp_path) == ["out"]
    assert names_in(tmp_path / "out") == sorted(PRODUCTS)


def test_finished_products_are_replaced_only_with_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, "old")
    with pytest.raises(RunFolderError, match="holds finished products; set `overwrite`"):
        publish(out, "new")
    assert (out / "flood.tif").read_text() == "old"
    (out / "notes.txt").write_text("mine")
    publish(out, "new", overwrite=True, names=("flood.tif", "summary.json"))
    assert names_in(out) == ["flood.tif", "notes.txt", "summary.json"]
    assert (out / "flood.tif").read_text() == "new"


def test_leftovers_of_an_unfinished_run_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "flood.tif").write_text("half")
    (tmp_path / ".out.floodseg-0123abcd").mkdir()
    (tmp_path / ".out2.floodseg-0123abcd").mkdir()
    publish(out, "new")
    assert (out / "flood.tif").read_text() == "new"
    assert names_in(tmp_path) == [".out2.floodseg-0123abcd", "out"]


def test_products_of_earlier_versions_are_removed_with_the_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, "old", names=(*PRODUCTS, "item.json"))
    for name in ("reliability.tif", "sensor_weights.tif"):
        (out / name).write_text("old")
    publish(out, "new", overwrite=True)
    assert names_in(out) == sorted(PRODUCTS)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_failed_run_leaves_no_files(tmp_path: Path, failure: type[BaseException]) -> None:
    def failing_run() -> None:
        with product_folder(tmp_path / "out", overwrite=False, min_bytes=0) as folder:
            (folder.staging / "flood.tif").write_text("half")
            raise failure

    with pytest.raises(failure):
        failing_run()
    assert not names_in(tmp_path)


def test_old_products_are_kept_until_publish(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, "old")
    with product_folder(out, overwrite=True, min_bytes=0) as folder:
        assert folder.staging.stat().st_mode & 0o777 == 0o700
        assert names_in(out) == sorted([*PRODUCTS, ".lock"])
    assert names_in(out) == sorted(PRODUCTS)
    assert (out / "summary.json").read_text() == "old"


def test_failed_publish_leaves_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert names_in(out) == sorted(PRODUCTS)


def test_killed_run_leaves_no_finished_products_and_no_lock(tmp_path: Path) -> None:
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
    assert names_in(out) == [".lock"]
    assert len(names_in(tmp_path)) == 2  # the staging folder is left until the next run
    publish(out, "new")
    assert names_in(tmp_path) == ["out"]
    assert names_in(out) == sorted(PRODUCTS)


def test_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    with product_folder(tmp_path / "out", overwrite=False, min_bytes=0) as first:
        with (
            pytest.raises(RunFolderError, match="another run writes its products there"),
            product_folder(tmp_path / "out", overwrite=True, min_bytes=0),
        ):
            pass
        assert first.staging.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(RunFolderError, match=r"cannot be written \(Permission denied\); set another `out_dir`"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=0),
    ):
        pass
    tmp_path.chmod(0o700)


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(RunFolderError, match="cannot be written"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=0),
    ):
        pass


def test_too_little_disk_space_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFolderError, match="MB are free, but the products need at least 1000000000 MB"),
        product_folder(tmp_path / "out", overwrite=False, min_bytes=10**15),
    ):
        pass
    assert not names_in(tmp_path)


def test_input_with_the_name_of_a_product_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "flood.tif"
    image.write_text("input")
    with (
        pytest.raises(RunFolderError, match="is an input with the name of a product"),
        product_folder(tmp_path, overwrite=True, min_bytes=0, inputs=[str(image)]),
    ):
        pass
    assert image.read_text() == "input"


def test_staging_folder_of_a_mounted_volume_is_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files cannot be renamed across a mount point."""
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
    assert names_in(tmp_path) == ["out"]
    assert names_in(out) == ["summary.json"]
