"""Scores of maps against counts by hand: label rasters on the same and other grids, polygons."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

import floodseg
from file_commands import commands_in, follow
from floodseg.app import cli
from floodseg.errors import ConfigError, DataError
from floodseg.evaluation.map_scores import evaluate_map
from floodseg.evaluation.metrics.counts import Counts
from scenes import CRS, ORIGIN, PIXEL, write_label, write_raster

MAP = np.array(
    [
        [0, 0, 1, 1, 2],
        [0, 1, 1, 2, 2],
        [3, 3, 1, 255, 255],
        [0, 0, 0, 1, 2],
    ],
    np.uint8,
)
LABEL = np.array(
    [
        [0, 1, 1, 0, 1],
        [0, 1, -1, 1, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 255, 0, 1],
    ],
    np.int16,
)


def write_map(path: Path, classes: NDArray[np.integer[Any]] = MAP, **place: Any) -> Path:
    return write_raster(path, classes[None].astype(np.uint8), nodata=255, **place)


def write_polygons(path: Path, shapes: list[shapely.Geometry], crs: str | None = CRS) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.raw.write(path, shapely.to_wkb(shapes), [], [], geometry_type="Polygon", crs=crs, driver="GPKG")
    return path


def box(rows: slice, columns: slice) -> shapely.Geometry:
    """Return the rectangle around some rows and columns of the grid of the map."""
    (left, top), side = ORIGIN, PIXEL
    return shapely.box(
        left + side * columns.start, top - side * rows.stop, left + side * columns.stop, top - side * rows.start
    )


def random_classes(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 3, 255], np.uint8), (height, width))


def by_hand(classes: NDArray[np.integer[Any]], label: NDArray[np.integer[Any]]) -> dict[str, Counts]:
    """Count pixel by pixel; the label holds 0, 1 and -1 or 255."""
    counts = {"all water": [0, 0, 0, 0], "flood": [0, 0, 0, 0]}
    for code, truth in zip(classes.ravel().tolist(), label.ravel().tolist(), strict=True):
        if truth in (0, 1) and code in (0, 1, 2):
            position = {(1, 1): 0, (1, 0): 1, (0, 1): 2, (0, 0): 3}
            counts["all water"][position[int(code in (1, 2)), truth]] += 1
            if code != 2:
                counts["flood"][position[int(code == 1), truth]] += 1
    return {name: Counts(*each) for name, each in counts.items()}


def test_a_label_on_the_same_grid_is_counted_pixel_by_pixel(tmp_path: Path) -> None:
    write_label(tmp_path / "label.tif", LABEL)
    found = evaluate_map(write_map(tmp_path / "flood.tif"), tmp_path / "label.tif")
    # rows of the map: 2 tn, fn | tp tp fp tp ... counted by hand
    assert found.scores == {"all water": Counts(tp=6, fp=3, fn=2, tn=3), "flood": Counts(tp=3, fp=2, fn=2, tn=3)}
    assert found.scores == by_hand(MAP, LABEL)
    assert (found.map_pixels, found.permanent_water_pixels) == (16, 4)
    document = found.document
    assert (document["water"], document["reference_kind"], document["n_pixels"]) == ("all water", "raster", 14)
    assert document["water_iou"] == 6 / 11
    assert document["f1"] == 12 / 17
    assert document["accuracy"] == 9 / 14
    assert document["scores"]["flood"]["precision"] == 3 / 5
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("nodata", [None, 0, 1, 255])
def test_nodata_tags_of_labels_have_no_effect(tmp_path: Path, nodata: float | None) -> None:
    write_label(tmp_path / "label.tif", LABEL, storage="uint8", nodata=nodata)
    found = evaluate_map(write_map(tmp_path / "flood.tif"), tmp_path / "label.tif")
    assert found.scores == by_hand(MAP, LABEL)


def test_a_large_map_is_read_in_strips(tmp_path: Path) -> None:
    classes, label = random_classes(700, 9), np.random.default_rng(1).choice([-1, 0, 1], (700, 9)).astype(np.int16)
    write_label(tmp_path / "label.tif", label)
    found = evaluate_map(write_map(tmp_path / "flood.tif", classes), tmp_path / "label.tif")
    assert found.scores == by_hand(classes, label)


def test_a_finer_label_is_sampled_at_pixel_centres(tmp_path: Path) -> None:
    classes = random_classes(20, 30)
    coarse = np.random.default_rng(1).choice([-1, 0, 1], classes.shape).astype(np.int16)
    fine = np.random.default_rng(2).choice([0, 1], (60, 90)).astype(np.int16)
    fine[1::3, 1::3] = coarse
    write_label(tmp_path / "label.tif", fine, pixel=PIXEL / 3)
    found = evaluate_map(write_map(tmp_path / "flood.tif", classes), tmp_path / "label.tif")
    assert found.scores == by_hand(classes, coarse)


def test_pixels_outside_the_label_are_not_counted(tmp_path: Path) -> None:
    classes = random_classes(20, 30)
    label = np.random.default_rng(1).choice([0, 1], (10, 40)).astype(np.int16)
    write_label(tmp_path / "label.tif", label, origin=(ORIGIN[0] + 5 * PIXEL, ORIGIN[1] + 3 * PIXEL))
    expected = np.full(classes.shape, -1)
    expected[:7, 5:] = label[3:, :25]
    found = evaluate_map(write_map(tmp_path / "flood.tif", classes), tmp_path / "label.tif")
    assert found.scores == by_hand(classes, expected)


@pytest.mark.parametrize(("crs", "pixel"), [("EPSG:4326", 1e-4), ("EPSG:32632", 12.5)])
def test_a_label_in_another_coordinate_system_is_warped_to_the_map(tmp_path: Path, crs: str, pixel: float) -> None:
    classes = random_classes(90, 70)
    x = ORIGIN[0] + PIXEL * (np.arange(70) + 0.5)
    y = ORIGIN[1] - PIXEL * (np.arange(90) + 0.5)
    coordinates = Transformer.from_crs(CRS, crs, always_xy=True).transform(*np.meshgrid(x, y))
    origin = (
        float(coordinates[0].min() + 10 * pixel),
        float(coordinates[1].max() + 2 * pixel),
    )  # some columns lie outside the label
    label = np.random.default_rng(1).choice([-1, 0, 1], (300, 300)).astype(np.int16)
    write_label(tmp_path / "label.tif", label, crs=crs, pixel=pixel, origin=origin)
    across, down = (coordinates[0] - origin[0]) / pixel, (origin[1] - coordinates[1]) / pixel
    # a pixel centre on the border of two label pixels may be in either
    classes[(np.abs(across - across.round()) < 1e-3) | (np.abs(down - down.round()) < 1e-3)] = 255
    columns, rows = np.floor(across), np.floor(down)
    inside = (columns >= 0) & (columns < 300) & (rows >= 0) & (rows < 300)
    expected = np.where(
        inside, label[np.where(inside, rows, 0).astype(int), np.where(inside, columns, 0).astype(int)], -1
    )
    found = evaluate_map(write_map(tmp_path / "flood.tif", classes), tmp_path / "label.tif")
    assert 0 < inside.sum() < inside.size
    assert found.scores == by_hand(classes, expected)


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_polygons_are_water_where_they_contain_a_pixel_centre(tmp_path: Path, crs: str) -> None:
    shapes = [box(slice(0, 2), slice(1, 3)), box(slice(3, 4), slice(3, 5)), box(slice(0, 1), slice(4, 5))]
    label = np.zeros(MAP.shape, np.int16)
    label[0:2, 1:3] = label[3, 3:5] = label[0, 4] = 1
    if crs != CRS:
        move = Transformer.from_crs(CRS, crs, always_xy=True)
        shapes = [shapely.transform(each, lambda points: np.column_stack(move.transform(*points.T))) for each in shapes]
    write_polygons(tmp_path / "polygons.gpkg", shapes, crs)
    found = evaluate_map(write_map(tmp_path / "flood.tif"), tmp_path / "polygons.gpkg")
    assert found.scores == by_hand(MAP, label)
    # rapid mapping marks the flood: permanent water of the map is not counted
    document = found.document
    assert (document["water"], document["reference_kind"]) == ("flood", "polygons")
    assert document["water_iou"] == found.scores["flood"].water_iou
    assert document["n_pixels"] == 12


def test_a_pixel_counts_by_its_centre(tmp_path: Path) -> None:
    (left, top), side = ORIGIN, PIXEL
    sliver = shapely.box(left, top - 0.6 * side, left + 2.4 * side, top)  # holds the centres of columns 0 and 1
    write_polygons(tmp_path / "polygons.gpkg", [sliver])
    found = evaluate_map(write_map(tmp_path / "flood.tif", np.ones((2, 5))), tmp_path / "polygons.gpkg")
    assert found.scores["flood"] == Counts(tp=2, fp=8)


def test_files_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    good, label = write_map(tmp_path / "flood.tif"), tmp_path / "label.tif"
    write_label(label, LABEL)
    write_map(tmp_path / "percent.tif", np.full((4, 5), 37))
    write_raster(tmp_path / "two.tif", np.zeros((2, 4, 5), np.uint8))
    write_map(tmp_path / "placeless.tif", crs=None)
    write_label(tmp_path / "far.tif", LABEL, origin=(900_000, 5_000_000))
    write_label(tmp_path / "codes.tif", np.full((4, 5), 7, np.int16))
    write_label(tmp_path / "ignored.tif", np.full((4, 5), -1, np.int16))
    write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 1, 1)], "EPSG:4326")
    write_polygons(tmp_path / "placeless.gpkg", [box(slice(0, 1), slice(0, 1))], None)
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "label.nc").write_bytes(b"CDF\x01")
    for path, reference, message in (
        (tmp_path / "percent.tif", label, r"percent\.tif: holds the value 37, .* give flood\.tif of floodseg predict"),
        (tmp_path / "two.tif", label, r"two\.tif: has 2 bands, but a map has one; "),
        (tmp_path / "placeless.tif", label, r"placeless\.tif: has no coordinate reference system .*rio edit-info"),
        (tmp_path / "text.tif", label, r"text\.tif: cannot be read as a raster"),
        (tmp_path / "absent.tif", label, r"absent\.tif: cannot be read as a raster"),
        (good, tmp_path / "two.tif", r"two\.tif: has 2 bands, but a label has one"),
        (good, tmp_path / "far.tif", r"far\.tif: labels no pixel .* in the map .*flood\.tif; .* same place"),
        (good, tmp_path / "ignored.tif", r"ignored\.tif: labels no pixel"),
        (good, tmp_path / "codes.tif", r"codes\.tif: holds the label value 7, but labels are 0"),
        (good, tmp_path / "far.gpkg", r"far\.gpkg`: no polygon contains a pixel centre of the map; "),
        (good, tmp_path / "placeless.gpkg", r"placeless\.gpkg`: has no coordinate system"),
        (
            good,
            tmp_path / "label.nc",
            r"label\.nc: is NetCDF, .* convert each band to GeoTIFF .*gdal_translate 'NETCDF:",
        ),
        (good, tmp_path / "absent.gpkg", r"absent\.gpkg`?: cannot be read as polygons"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate_map(path, reference)


def test_reference_on_a_network_is_not_requested(tmp_path: Path) -> None:
    for address in ("https://127.0.0.1:9/a.gpkg", Path("https://127.0.0.1:9/a.gpkg"), "https://127.0.0.1:9/a.img"):
        with pytest.raises(ConfigError, match="is an address on a network"):
            evaluate_map(write_map(tmp_path / "flood.tif"), address)


def test_label_of_0_and_255_is_refused_and_recoded(tmp_path: Path) -> None:
    flood, mask = write_map(tmp_path / "flood.tif"), tmp_path / "mask.tif"
    write_raster(mask, np.where(LABEL == 1, 255, 0).astype(np.uint8)[None], nodata=255)
    with pytest.raises(
        DataError, match=r"mask\.tif: holds no water \(1\), but 255, which is read as ignored"
    ) as caught:
        evaluate_map(flood, mask)
    as_water, as_ignored = commands_in(str(caught.value))
    follow(as_water, FILE=mask, OUT=tmp_path / "water.tif")
    assert evaluate_map(flood, tmp_path / "water.tif").scores == by_hand(MAP, (LABEL == 1).astype(np.int16))
    follow(as_ignored, FILE=mask, OUT=tmp_path / "ignored.tif")
    expected = by_hand(MAP, -(LABEL == 1).astype(np.int16))
    assert evaluate_map(flood, tmp_path / "ignored.tif").scores == expected
    assert expected["all water"].n > 0


def test_label_with_water_outside_the_map_may_hold_255_alone_inside(tmp_path: Path) -> None:
    label = np.zeros((4, 8), np.int16)
    label[0, :2], label[3, 7] = 255, 1
    write_label(tmp_path / "label.tif", label)
    assert evaluate_map(write_map(tmp_path / "flood.tif"), tmp_path / "label.tif").scores == by_hand(MAP, label[:, :5])


def test_label_of_three_equal_bands_is_written_as_one(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif")
    write_raster(tmp_path / "rgb.tif", np.stack([np.where(LABEL == 1, 255, 0)] * 3).astype(np.uint8))
    with pytest.raises(
        DataError, match=r"rgb\.tif: has 3 bands, but a label has one; if 255 is water, write"
    ) as caught:
        evaluate_map(flood, tmp_path / "rgb.tif")
    [command] = commands_in(str(caught.value))
    follow(command, FILE=tmp_path / "rgb.tif", OUT=tmp_path / "one.tif")
    assert evaluate_map(flood, tmp_path / "one.tif").scores == by_hand(MAP, (LABEL == 1).astype(np.int16))


def test_png_label_needs_a_place(tmp_path: Path) -> None:
    from PIL import Image

    flood, mask = write_map(tmp_path / "flood.tif"), tmp_path / "mask.png"
    Image.fromarray(np.where(LABEL == 1, 1, 0).astype(np.uint8)).save(mask)
    with pytest.raises(DataError, match=r"mask\.png: has no coordinate reference system .*rio edit-info --crs like"):
        evaluate_map(flood, mask)
    follow("rio edit-info --crs like --transform like --like OTHER FILE", OTHER=flood, FILE=mask)
    assert evaluate_map(flood, mask).scores == by_hand(MAP, (LABEL == 1).astype(np.int16))


def run(*arguments: object) -> Any:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def test_the_command_prints_and_writes_the_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    flood = write_map(tmp_path / "flood.tif")
    write_label(tmp_path / "label.tif", LABEL)
    assert run("evaluate", flood, "--reference", tmp_path / "label.tif", "--json", tmp_path / "scores.json") == 0
    shown = capsys.readouterr().out
    assert "14 of 16 mapped pixels counted" in shown
    rows = [line.split() for line in shown.splitlines()]
    # water IoU, mIoU, F1, precision, recall, accuracy
    assert ["all", "water", "0.545", "0.460", "0.706", "0.667", "0.750", "0.643"] in rows
    assert ["flood", "0.429", "0.429", "0.600", "0.600", "0.600", "0.600"] in rows
    assert "4 pixels of permanent water are water in 'all water' and are not counted in 'flood'" in shown
    scored = floodseg.evaluate(flood, reference=tmp_path / "label.tif")
    assert json.loads((tmp_path / "scores.json").read_text()) == scored.document
    # without permanent water both meanings are one
    write_map(tmp_path / "dry.tif", np.where(MAP == 2, 1, MAP))
    assert run("evaluate", tmp_path / "dry.tif", "--reference", tmp_path / "label.tif") == 0
    assert "permanent" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{map}", "flood.tif: is a raster, not a model; to score it as a map, set --reference"),
        ("{map} --reference {label} --split test", "--split: has no effect on a map with --reference; leave it out"),
        ("{map} --reference {label} --threshold 0.4", "--threshold: has no effect on a map with --reference"),
        ("{map} --reference {label} --layout folders", "--layout: has no effect on a map with --reference"),
        ("{map} --reference {label} --out-dir out", "--out-dir: has no effect on a map with --reference"),
        ("s1-lite --reference {label}", "s1-lite: cannot be read as a raster"),
    ],
)
def test_flags_without_effect_on_a_map_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    write_label(tmp_path / "label.tif", LABEL)
    flood = write_map(tmp_path / "flood.tif")
    assert run("evaluate", *arguments.format(map=flood, label=tmp_path / "label.tif").split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_arguments_without_effect_on_a_map_are_refused(tmp_path: Path) -> None:
    write_label(tmp_path / "label.tif", LABEL)
    flood = write_map(tmp_path / "flood.tif")
    with pytest.raises(ConfigError, match=r"^`data`: has no effect on a map with a reference"):
        floodseg.evaluate(flood, reference=tmp_path / "label.tif", data=tmp_path)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"^`name`: has no effect on a map with a reference"):
        floodseg.evaluate(flood, reference=tmp_path / "label.tif", name="mine")  # type: ignore[call-overload]
