"""Tests of folders and lists of maps."""

from pathlib import Path

import pytest

from floodseg.analysis.series.map_list import list_maps
from floodseg.errors import DataError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_of_predict_many_lists_its_flood_maps(tmp_path: Path) -> None:
    touch(*(tmp_path / "scenes" / name / "flood.tif" for name in ("b", "a", ".b.floodseg-1")), tmp_path / "other.tif")
    listed = list_maps(tmp_path)
    assert [each.path.relative_to(tmp_path).as_posix() for each in listed] == [
        "scenes/a/flood.tif",
        "scenes/b/flood.tif",
    ]


def test_another_folder_lists_its_geotiffs(tmp_path: Path) -> None:
    touch(tmp_path / "b.TIF", tmp_path / "a.tiff", tmp_path / ".c.tif", tmp_path / "a.png")
    assert [each.path.name for each in list_maps(str(tmp_path))] == ["a.tiff", "b.TIF"]


def test_a_list_names_maps_beside_it_with_time_and_orbit(tmp_path: Path) -> None:
    (tmp_path / "maps.csv").write_text("Map, datetime, orbit\na.tif, 2024-01-02, ascending-15\n/b.tif,,\n", "utf-8")
    first, second = list_maps(tmp_path / "maps.csv")
    assert (first.path, first.datetime, first.orbit) == (tmp_path / "a.tif", "2024-01-02", "ascending-15")
    assert (second.path, second.datetime, second.orbit) == (Path("/b.tif"), None, None)


def test_a_list_of_semicolons_is_read_without_its_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "maps.csv").write_text("map;datetime;orbit\na,1.tif;2024-01-02;\n;;\nb.tif;;optical\n", "utf-8-sig")
    first, second = list_maps(tmp_path / "maps.csv")
    assert (first.path.name, first.datetime, first.orbit) == ("a,1.tif", "2024-01-02", None)
    assert (second.path.name, second.datetime, second.orbit) == ("b.tif", None, "optical")
    assert second.source == f"list of maps {tmp_path / 'maps.csv'}, line 4"


def test_paths_are_taken_as_they_are() -> None:
    assert [each.path for each in list_maps(["a.tif", Path("b.tif")])] == [Path("a.tif"), Path("b.tif")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,datetime\na.tif,\n", r"has the columns file, datetime; name them in the first line: map"),
        ("map,map\na.tif,b.tif\n", r"has the columns map, map; name them"),
        ("map\tdatetime\n", r"once each, separated by commas or semicolons"),
        ("", r"has the columns of an empty file; name them"),
        ("map,datetime\na.tif\n", r"maps.csv, line 2: must have a map, and a cell for each column; correct"),
        ("map\na.tif,b\n", r"maps.csv, line 2: must have a map"),
        ("map,datetime\n,2024-01-01\n", r"maps.csv, line 2: must have a map"),
        ("map\n", r"holds no map; give a folder with maps"),
        ('map\n"a.tif\n', r"cannot be read as a CSV file in UTF-8 .*; save it"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "maps.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        list_maps(tmp_path / "maps.csv")


def test_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no map; give a folder with maps"):
        list_maps(tmp_path)
    with pytest.raises(
        DataError, match="is neither a folder nor a list of maps; give the folder of floodseg predict-m"
    ):
        list_maps(tmp_path / "missing")
    with pytest.raises(DataError, match=r"missing.csv: cannot be read as a CSV file"):
        list_maps(tmp_path / "missing.csv")
