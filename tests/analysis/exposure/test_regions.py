"""Regions: names and numbers that tell them apart, and notes on those that are left out or cut."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely
from pyproj import Transformer

from exposure_files import CORNER, UTM, box, exposed, figure, utm, write_geojson, write_map, write_raster, write_shapes
from floodseg.analysis.exposure.exposure import Exposure

WEST, EAST, FAR = box(0, 0, 40, 80), box(40, 0, 80, 80), box(9000, 0, 9040, 80)


def counted(folder: Path, regions: str, **settings: Any) -> Exposure:
    """Return one person per pixel of a map of 8 x 8 pixels of 10 m, by region."""
    flood = write_map(folder / "flood.tif", np.ones((8, 8)), utm(10))
    people = write_raster(folder / "p.tif", np.ones((8, 8)), UTM, utm(10))
    return exposed(flood, folder, population=people, regions=regions, **settings)


def notes(result: Exposure) -> list[str]:
    """Return the notes on the regions without the name of the file."""
    return [each.split("`: ", 1)[1] for each in result.document["assumptions"] if each.startswith("`regions=")]


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_regions_have_their_number_in_the_file(suffix: str, tmp_path: Path) -> None:
    shapes, codes = [FAR, FAR, EAST, FAR, box(40, 0, 60, 80)], list("abcde")
    write = write_geojson if suffix == "geojson" else write_shapes
    crs = {} if suffix == "geojson" else {"crs": UTM}
    result = counted(tmp_path, write(tmp_path / f"r.{suffix}", shapes, **crs, ADM2_EN=codes))
    assert result.zones == ("total", "region 3", "region 5")
    assert figure(result, "population", "region 5").total == pytest.approx(16)
    assert notes(result) == [
        "has no attribute name, so regions are numbered by their place in the file; set `region_name` to an attribute "
        "with their names (it has ADM2_EN)",
        "3 of 5 regions do not overlap the map (region 1, region 2, region 4)",
    ]
    assert [region["feature"] for region in result.document["regions"]] == [3, 5]
    meta, _, _, columns = pyogrio.raw.read(result.out_dir / "exposure.gpkg", layer="exposure_zones")
    features = columns[list(meta["fields"]).index("feature")]
    assert np.isnan(features[0])
    assert list(features[1:]) == [3, 5]


def test_features_without_polygon_count_and_are_noted(tmp_path: Path) -> None:
    shapes = [None, WEST, shapely.Point(CORNER), EAST, FAR]
    result = counted(tmp_path, write_geojson(tmp_path / "r.geojson", shapes, code=[1] * 5))
    assert result.zones == ("total", "region 2", "region 4")
    assert notes(result) == [
        "has no attribute name, so regions are numbered by their place in the file",
        "1 of 3 regions does not overlap the map (region 5)",
        "2 of 5 features have no polygon and are left out (region 1, region 3)",
    ]


def test_regions_without_geometry_are_noted_where_a_part_of_the_file_is_read(tmp_path: Path) -> None:
    shapes = [None, FAR, WEST]
    result = counted(tmp_path, write_geojson(tmp_path / "r.geojson", shapes, name=["A", "Far", "C"]))
    assert result.zones == ("total", "C")
    assert notes(result) == [
        "1 of 2 regions does not overlap the map (Far)",
        "1 of 3 features has no polygon and is left out (A)",
    ]


def test_missing_and_equal_names(tmp_path: Path) -> None:
    shapes = [WEST, EAST, WEST, EAST, WEST, EAST, FAR]
    names = ["Same", None, "total", "Same", "", "Other", "Other"]
    result = counted(tmp_path, write_geojson(tmp_path / "r.geojson", shapes, name=names))
    assert result.zones == ("total", "Same (1)", "region 2", "total (3)", "Same (4)", "region 5", "Other")
    assert notes(result) == [
        "2 of 6 regions on the map have no name and are numbered by their place in the file (region 2, region 5)",
        "3 of 6 regions on the map have the name of another, or the name total; the number in the file follows it "
        "(Same (1), total (3), Same (4))",
        "1 of 7 regions does not overlap the map (Other)",
    ]


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_regions_that_reach_beyond_the_map_have_their_share(crs: str, tmp_path: Path) -> None:
    move = Transformer.from_crs(UTM, crs, always_xy=True)
    shapes = [
        shapely.transform(shapely.segmentize(shape, 1000), lambda at: np.column_stack(move.transform(*at.T)))
        for shape in (box(10, 10, 70, 70), box(60, 0, 180_060, 180_000))
    ]
    path = write_shapes(tmp_path / "r.gpkg", shapes, crs, name=["inside", "province"])
    result = counted(tmp_path, path)
    share = 20 * 80 / 180_000**2
    assert figure(result, "population", "province").total == pytest.approx(16, rel=1e-3)
    with (result.out_dir / "exposure.csv").open(encoding="utf-8", newline="") as file:
        shares = [row["region_share_on_map"] for row in csv.DictReader(file)]
    assert shares[0] == ""
    assert [float(each) for each in shares[1:]] == [pytest.approx(1, rel=1e-9), pytest.approx(share, rel=0.01)]
    assert [region["share_on_map"] for region in result.document["regions"]] == [float(each) for each in shares[1:]]
    assert notes(result) == [
        "1 of 2 regions reaches beyond the map; its figures are for the part on the map (province: less than 0.1 % of "
        "its area)"
    ]
