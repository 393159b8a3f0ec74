"""Files are whole or not there."""

from pathlib import Path

import pytest

from floodseg.system.files import replacing, write_text


def _write_and_fail(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise InterruptedError


def test_the_file_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "scores.json"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert (temporary.parent, temporary.suffix) == (target.parent, ".json")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    target.write_text("old")
    with pytest.raises(InterruptedError):
        _write_and_fail(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        _write_and_fail(tmp_path / "model.pth")
    assert not list(tmp_path.iterdir())


def test_two_writers_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as first, replacing(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a.txt").read_text() == "1"


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "Überflutung")
    assert (tmp_path / "note.txt").read_bytes() == "Überflutung".encode()
