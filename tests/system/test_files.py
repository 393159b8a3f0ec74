"""Atomic file writes and folder locks."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from floodseg.errors import FolderInUseError, RunFolderError
from floodseg.system.files import LOCK, locked_folder, replacing, write_text


def _write_and_fail(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise InterruptedError


def test_file_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "scores.json"
    with replacing(target) as temporary:
        temporary.write_text("complete")
        assert not target.exists()
        assert (temporary.parent, temporary.suffix) == (target.parent, ".json")
    assert target.read_text() == "complete"
    assert list(target.parent.iterdir()) == [target]


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    target.write_text("old")
    with pytest.raises(InterruptedError):
        _write_and_fail(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        _write_and_fail(tmp_path / "model.pth")
    assert not list(tmp_path.iterdir())


def test_two_writers_have_different_temporary_names(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as first, replacing(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a.txt").read_text() == "1"


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "Überflutung")
    assert (tmp_path / "note.txt").read_bytes() == "Überflutung".encode()


def lock_and_release(folder: Path) -> None:
    with locked_folder(folder):
        pass


def test_locked_folder_has_one_owner_and_is_removed_if_empty(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with locked_folder(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK]
        with pytest.raises(FolderInUseError, match="another run writes its products there"):
            lock_and_release(folder)
    assert not folder.exists()
    lock_and_release(folder)


def test_folder_with_files_is_not_removed(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "out"):
        (tmp_path / "out" / "product").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["product"]


def test_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with locked_folder(tmp_path / "out"):
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            os._exit(0)
    lock_and_release(tmp_path / "out")
    os.write(writing, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(reading)
    os.close(writing)


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"is a file, not a folder"):
        lock_and_release(tmp_path / "file")


def test_windows_lock_uses_msvcrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []

    def locking(number: int, mode: int, size: int) -> None:
        if locked:
            raise PermissionError
        locked.append(number)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with locked_folder(tmp_path / "out"), pytest.raises(FolderInUseError):
        lock_and_release(tmp_path / "out")
    assert not (tmp_path / "out").exists()
