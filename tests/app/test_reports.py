"""Terminal reports print names as they are."""

from pathlib import Path

import pytest

from floodseg.app.reports.many import print_many
from floodseg.app.reports.models import print_export
from floodseg.cluster.many import ManyReport
from floodseg.errors import ScenesFailedError


def report(folder: Path, *, left_out: list[str], failed: dict[str, str]) -> ManyReport:
    return ManyReport(folder, 0, 0, failed, 1.0, 0.0, tuple(left_out))


def test_brackets_in_names_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "maps [1][/b]"
    folder.mkdir(parents=True)
    (folder / "flood.vrt").touch()
    print_export(folder / "model.onnx", {"largest": 0.0, "share_within_0.01": 1.0, "pixels": 10})
    print_many(report(folder, left_out=["scene [2][/b] has no date: set `datetime`"], failed={}))
    shown = capsys.readouterr().out
    assert f"{folder / 'model.onnx'}  " in shown
    assert f"{folder / 'flood.vrt'}  mosaic" in shown
    assert "scene [2][/b] has no date: set --datetime" in shown
    with pytest.raises(ScenesFailedError, match="1 of 1 scenes"):
        print_many(report(folder, left_out=[], failed={"[3][/b]": "set `sar`"}))
    assert "failed [3][/b]: set --sar" in capsys.readouterr().err
