"""Passes fetched from the local catalogue and file server."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from numpy.typing import NDArray

import floodseg
from file_server import Fault, two_faults_each
from floodseg.bands import Bands
from floodseg.cluster.scene_list import read_scenes
from floodseg.config.predict import SharedScene
from floodseg.errors import ConfigError, DataError, RunFolderError
from place_scenes import (
    CORNER,
    FLOOD_TIME,
    HEIGHT,
    SECOND_SLICE_TIME,
    SLICES,
    WIDTH,
    Service,
    World,
    add_radar,
    degrees,
    grid_of,
    in_neighbour_zone,
    linear,
    projection,
    serving_world,
    write_cog,
)
from stac_items import C1, COLOURS, NUMBERS, optical_item

RADAR = Bands(("VV", "VH"), ())
PADDING = 200
"""Pixels that are added around the scene, more than the context around any area of the tests."""


@pytest.fixture(autouse=True)
def _quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds between attempts where a test passes no retries."""
    monkeypatch.setattr("floodseg.catalog.retries.RetryPolicy.wait_s", lambda *arguments: 0.01)


def read(path: str | Path) -> tuple[NDArray[Any], SimpleNamespace]:
    """Return the pixels and the metadata of a raster."""
    names = ("transform", "height", "width", "descriptions", "dtypes", "nodata", "scales", "offsets", "crs")
    with rasterio.open(path) as source:
        return source.read(), SimpleNamespace(tags=source.tags(), **{name: getattr(source, name) for name in names})


def cut(array: NDArray[Any], source: Any, pixel: float = 10.0) -> NDArray[Any]:
    """Return the part of an array of the scene (C, H, W) that a raster shows; outside it is NaN, or 0 of integers."""
    left, top = round((source.transform.c - CORNER[0]) / pixel), round((CORNER[1] - source.transform.f) / pixel)
    outside = np.nan if array.dtype.kind == "f" else 0
    padded = np.pad(array, ((0, 0), (PADDING, PADDING), (PADDING, PADDING)), constant_values=outside)
    top, left = top + PADDING, left + PADDING
    return padded[:, top : top + source.height, left : left + source.width]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.tif")}


def test_slices_become_one_image_that_equals_the_scene(world: World, service: Service, tmp_path: Path) -> None:
    (fetched,) = floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    values, source = read(fetched.images[0])
    expected = cut(world.db["flood"], source)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4)
    assert fetched.covered_share == 1.0
    assert source.descriptions == ("VV", "VH")
    assert source.dtypes == ("float32", "float32")
    assert np.isnan(source.nodata)
    assert source.tags["TIFFTAG_DATETIME"] == "2024:10:31 05:27:14"


def test_context_is_fetched_around_the_area_and_cut_off_the_map(world: World, service: Service, tmp_path: Path) -> None:
    settings = {"bbox": degrees((740_000.0, 4_993_000.0, 741_000.0, 4_994_000.0))}
    narrow, wide = (
        floodseg.fetch(**service.settings(**settings), context=context, out_dir=tmp_path / str(context))[0]
        for context in (0, 60)
    )
    assert (wide.grid.height, wide.grid.width) == (narrow.grid.height + 120, narrow.grid.width + 120)
    values, source = read(wide.images[0])
    np.testing.assert_allclose(values, cut(world.db["flood"], source), rtol=0, atol=1e-4)
    assert np.isfinite(values).all()
    arguments = {"model": "s1-efficient", "aoi": wide.area}
    flood_map = floodseg.predict_scene(sar=wide.images, **arguments, out_dir=tmp_path / "map")
    assert flood_map.summary["grid"]["transform"] == list(narrow.grid.transform)
    assert (flood_map.summary["grid"]["height"], flood_map.summary["grid"]["width"]) == (
        narrow.grid.height, narrow.grid.width,
    )  # fmt: skip


def test_nodata_of_linear_power_becomes_nan(world: World, service: Service, tmp_path: Path) -> None:
    west, south, _, north = degrees((738_650.0, 4_992_000.0, 742_000.0, 4_994_800.0))
    settings = service.settings(bbox=(west, south, degrees()[2], north))
    (fetched,) = floodseg.fetch(**settings, out_dir=tmp_path / "passes")
    values, source = read(fetched.images[0])
    expected = cut(world.db["flood"], source)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
    assert 0.9 < fetched.covered_share < 1


def test_item_names_its_sources_and_has_the_orbit(service: Service, tmp_path: Path) -> None:
    (fetched,) = floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    item = pystac.Item.from_file(str(fetched.folder / "item.json"))
    sources = sorted(link.href for link in item.get_links("derived_from"))
    assert [href.rpartition("_20241031T")[2][:6] for href in sources] == ["052714", "052739"]
    assert all("?" not in href for href in sources)
    properties = item.properties
    assert (properties["sat:orbit_state"], properties["sat:relative_orbit"]) == ("descending", 95)
    assert properties["processing:lineage"].startswith("Cut to the area and mosaicked from 2 items by floodseg ")
    assert [each["datetime"] for each in properties["floodseg:sources"]] == [FLOOD_TIME, SECOND_SLICE_TIME]
    assert properties["floodseg:covered_share"] == 1.0
    assert item.assets["sar"].roles == ["data", "sar"]


def test_optical_pass_keeps_pixel_sizes_and_numbers(world: World, service: Service, tmp_path: Path) -> None:
    (fetched,) = floodseg.fetch(**service.settings(sensors="optical"), out_dir=tmp_path / "passes")
    fine, fine_source = read(fetched.folder / "optical_10m.tif")
    coarse, coarse_source = read(fetched.folder / "optical_20m.tif")
    assert fine_source.descriptions == ("B02", "B03", "B04", "B08")
    assert coarse_source.descriptions == ("B11", "B12")
    assert (fine_source.scales[0], fine_source.offsets[0], fine_source.nodata) == (1e-4, -0.1, 0)
    assert fine.shape[1:] == (2 * coarse.shape[1], 2 * coarse.shape[2])
    numbers = np.clip(np.rint(world.optical * 10_000) + 1000, 1, 65_535).astype(np.uint16)
    np.testing.assert_array_equal(fine, cut(numbers[[1, 2, 3, 7]], fine_source))
    np.testing.assert_array_equal(coarse, cut(numbers[[11, 12], ::2, ::2], coarse_source, 20))
    classes, _ = read(fetched.folder / "scl.tif")
    assert set(np.unique(classes)) == {0, 5}, "0 outside the tile"
    assert fetched.cloud_mask == str(fetched.folder / "scl.tif")


def test_fetched_files_are_mapped(service: Service, tmp_path: Path) -> None:
    fetched = floodseg.fetch(**service.settings(sensors="both"), out_dir=tmp_path / "passes")
    radar, optical = fetched
    first = floodseg.predict_scene(sar=radar.images, model="otsu", out_dir=tmp_path / "radar")
    second = floodseg.predict_scene(
        optical=optical.images, cloud_mask=optical.cloud_mask, aoi=optical.area, model="ndwi",
        out_dir=tmp_path / "optical",
    )  # fmt: skip
    assert first.summary["sources"][0]["covered_share"] == 1.0
    assert len(first.summary["sources"][0]["items"]) == 2
    assert second.summary["datetime"] == "2024-10-31T10:10:31Z"
    assert second.summary["valid_share"] > 0.99


CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "planetary-computer-old": ("flag", False, {"baseline": "03.01"}),
    "planetary-computer-new": ("flag", True, {"baseline": "04.00"}),
    "earth-search-applied": ("flag", False, {"baseline": "05.11", "applied": True, "keys": COLOURS}),
    "earth-search-band-offset": ("flag", True, {"applied": False, "offset": -0.1, "keys": COLOURS}),
    "earth-search-neither": ("flag", True, {"baseline": "05.11", "keys": COLOURS}),
    "earth-search-c1": ("band", True, {"collection": C1, "offset": -0.1, "keys": COLOURS, "stac_1_1": True}),
    "contradiction": ("flag", True, {"applied": True, "offset": -0.1, "keys": COLOURS}),
}
"""Rule of the source, whether the numbers hold an offset of 1000, and the metadata of the item."""


@pytest.mark.parametrize("case", CASES)
def test_reflectance_is_exact_in_all_cases_of_metadata(case: str, world: World, tmp_path: Path) -> None:
    rule, holds_offset, metadata = CASES[case]
    reflectance = np.rint(world.optical.astype(np.float64) * 10_000) / 10_000
    reflectance[:, 100, 100] = -0.0123 if holds_offset else 0.0007
    item, names = local_tile(world.root / case, reflectance, metadata, offset=1000 if holds_offset else 0)
    with serving_world(world, tmp_path, [item]) as service:
        lines = service.source.read_text(encoding="utf-8").partition("[optical]")[0]
        assets = ", ".join(f'{band} = "{key}"' for band, key in names.items())
        lines += f'[optical]\ncollection = "{item["collection"]}"\noffset = "{rule}"\nassets = {{ {assets} }}\n'
        service.source.write_text(lines, encoding="utf-8")
        settings = service.settings(sensors="optical", optical_bands=("B02", "B08"), context=0)
        (fetched,) = floodseg.fetch(**settings, out_dir=tmp_path / "passes")
    values, source = read(fetched.folder / "optical_10m.tif")
    decoded = values * source.scales[0] + source.offsets[0]
    np.testing.assert_allclose(decoded, cut(reflectance[[1, 7]], source), rtol=0, atol=1e-9)
    notes = fetched.item["properties"].get("floodseg:notes", [])
    assert any("the darkest pixels" in note for note in notes) == (case == "contradiction")


def local_tile(
    folder: Path, reflectance: NDArray[Any], metadata: dict[str, Any], offset: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write two bands of a tile, and return its item and the keys of its assets by band."""
    keys = metadata.get("keys", NUMBERS)
    names = {band: keys[band] for band in ("B02", "B08")}
    grid = grid_of()
    fields = {**metadata, "keys": names, "grid": projection(grid, (HEIGHT, WIDTH))}
    item = optical_item("2024-10-31T10:10:31Z", degrees(grid["bounds"]), **fields)
    for (band, key), number in zip(names.items(), (1, 7), strict=True):
        stored = np.clip(np.rint(reflectance[number] * 10_000) + offset, 1, 65_535).astype(np.uint16)
        write_cog(folder / f"{band}.tif", stored, grid, 0)
        item["assets"][key]["href"] = f"http://files/{folder.name}/{band}.tif"
    return item, names


def test_all_faults_give_the_files_of_the_run_without_faults(
    world: World, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # also for urllib3, which logs addresses
    plain = floodseg.fetch(**service.settings(sensors="both"), out_dir=tmp_path / "plain")
    names = {name for name, _, _ in service.files.requests}
    service.files.faults = two_faults_each(names)
    service.files.token_uses = 7
    service.files.attempts.clear()
    faulty = floodseg.fetch(**service.settings(sensors="both"), out_dir=tmp_path / "faulty")
    assert all(not left for left in service.files.faults.values())
    for one, other in zip(plain, faulty, strict=True):
        assert files_of(one.folder) == files_of(other.folder)
        assert one.item == other.item
    answered = len([name for name, _, _ in service.files.requests]) // 2
    refused = len(service.files.tokens)
    assert len(service.files.attempts) <= answered + 2 * len(names) + 8 * refused
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"sig=" not in path.read_bytes(), path
            assert b"secret-" not in path.read_bytes(), path
    texts = [record.getMessage() for record in caplog.records]
    assert any("container/" in text for text in texts)
    assert not any("sig=" in text or "secret-" in text for text in texts)


def test_stopped_fetch_goes_on_where_it_was(world: World, service: Service, tmp_path: Path) -> None:
    settings = service.settings()
    plain = floodseg.fetch(**settings, out_dir=tmp_path / "plain")
    total = sum(stop - start for _, start, stop in service.files.requests)
    service.files.requests.clear()
    name = next(path.relative_to(world.root).as_posix() for path in sorted(world.root.glob("*052739*/vh.tif")))
    service.files.faults[name] = [Fault(), *([Fault(500)] * 20)]
    with pytest.raises(DataError, match=r"item S1A_\w+052739\w+, asset vh: cannot be read from 127\.0\.0\.1 .*goes on"):
        floodseg.fetch(**settings, out_dir=tmp_path / "stopped")
    assert not list((tmp_path / "stopped").glob("[!.]*")), "an unfinished pass is hidden"
    service.files.faults.clear()
    (again,) = floodseg.fetch(**settings, out_dir=tmp_path / "stopped")
    assert files_of(again.folder) == files_of(plain[0].folder)
    assert sum(stop - start for _, start, stop in service.files.requests) == total
    assert not list((tmp_path / "stopped").glob(".*")), "parts are removed"


def test_complete_pass_is_not_read_again(service: Service, tmp_path: Path) -> None:
    floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    count = len(service.files.attempts)
    floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    assert len(service.files.attempts) == count


def test_pass_of_other_settings_is_refused_or_replaced(service: Service, tmp_path: Path) -> None:
    floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    with pytest.raises(RunFolderError, match="holds files of another area or of other settings; set `overwrite`"):
        floodseg.fetch(**service.settings(), resolution=20, out_dir=tmp_path / "passes")
    (fetched,) = floodseg.fetch(**service.settings(), resolution=20, out_dir=tmp_path / "passes", overwrite=True)
    assert fetched.grid.transform[0] == 20


def test_coarse_images_come_from_overviews(world: World, service: Service, tmp_path: Path) -> None:
    (fetched,) = floodseg.fetch(**service.settings(), resolution=20, context=0, out_dir=tmp_path / "passes")
    values, source = read(fetched.images[0])
    full = linear(world.db["flood"])
    means = full.reshape(2, HEIGHT // 2, 2, WIDTH // 2, 2).mean((2, 4))
    expected = cut(10 * np.log10(np.maximum(means, 1e-9)), source, 20)
    np.testing.assert_allclose(values[:, 5:-5, 5:-5], expected[:, 5:-5, 5:-5], atol=1e-3)


def test_all_passes_of_dates_and_their_list(service: Service, tmp_path: Path) -> None:
    settings = service.settings(date=None, window=None, dates="2024-10-15/2024-10-31", sensors="both")
    fetched = floodseg.fetch(**settings, out_dir=tmp_path / "passes")
    assert sorted(f"{each.overpass.datetime:%m-%d %H}" for each in fetched) == [
        "10-18 16",
        "10-19 05",
        "10-31 05",
        "10-31 10",
    ]
    scenes = read_scenes(tmp_path / "passes" / "sar.json", SharedScene(), RADAR)
    assert {scene.config.sar for scene in scenes} == {each.images for each in fetched if each.overpass.sensor == "sar"}
    (optical,) = read_scenes(tmp_path / "passes" / "optical.json", SharedScene(), Bands((), ("B03", "B08")))
    assert len(optical.config.optical) == 2
    assert optical.config.cloud_mask is not None


def test_passes_without_valid_pixels_are_left_out_and_logged(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = World(world.root, {}, world.water_before, world.optical)
    nothing = np.full((2, HEIGHT, WIDTH), np.nan, np.float32)
    add_radar(empty, nothing, "2024-10-30T05:19:00Z", slice(0, HEIGHT), orbit=22)
    with serving_world(world, tmp_path, [*world.items, *empty.items]) as service:
        settings = service.settings(date=None, window=None, dates="2024-10-30/2024-10-31")
        fetched = floodseg.fetch(**settings, out_dir=tmp_path / "passes")
        assert [each.overpass.relative_orbit for each in fetched] == [95]
        assert "pass of 2024-10-30 05:19 UTC: no pixel of the area is valid" in caplog.text
        with pytest.raises(DataError, match=r"no pixel of the area is valid.*set other dates with `date` or `dates`"):
            floodseg.fetch(**service.settings(date="2024-10-30"), out_dir=tmp_path / "other")


def test_slice_of_a_neighbouring_zone_is_warped_to_the_grid_of_the_mosaic(world: World, tmp_path: Path) -> None:
    first = [item for item in world.items if item["properties"]["datetime"] == FLOOD_TIME]
    other = World(world.root / "zone", {}, world.water_before, world.optical)
    moved = add_neighbour(other, world.db["flood"], SLICES[1])
    with serving_world(world, tmp_path, [*first, moved]) as service:
        (fetched,) = floodseg.fetch(**service.settings(), context=0, out_dir=tmp_path / "passes")
    values, source = read(fetched.images[0])
    assert source.crs.to_epsg() in (32632, 32633)
    assert np.isfinite(values).mean() > 0.99
    (note,) = [note for note in fetched.item["properties"]["floodseg:notes"] if "resampled" in note]
    assert note.endswith("sar is resampled to the grid of the mosaic (bilinear)")


def add_neighbour(world: World, db: NDArray[np.float32], rows: slice) -> dict[str, Any]:
    """Write a slice in the neighbouring UTM zone and return its item."""
    grid = grid_of(rows)
    item = add_radar(world, db, SECOND_SLICE_TIME, rows)
    for band, key in enumerate(("vv", "vh")):
        power, moved = in_neighbour_zone(linear(db[band, rows]), grid)
        write_cog(world.root / f"{key}.tif", power, moved, -32768.0)
        item["assets"][key]["href"] = f"http://files/zone/{key}.tif"
    item["properties"] |= projection(moved, power.shape)
    return item


def test_without_permission_nothing_is_asked_and_the_hosts_are_named(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    monkeypatch.setattr("socket.socket.connect", refuse)
    message = (
        r"no request was sent.*items of sentinel-1-rtc.*tokens that permit reading; 127\.0\.0\.1 for parts of the band"
    )
    with pytest.raises(ConfigError, match=message):
        floodseg.fetch(**service.settings(allow_remote=False), out_dir=tmp_path / "passes")
    assert not (tmp_path / "passes").exists()


def test_missing_band_is_named(service: Service, tmp_path: Path) -> None:
    settings = service.settings(sensors="optical")
    with pytest.raises(DataError, match="has no band B05; set other `optical_bands`, or use another source"):
        floodseg.fetch(**settings, optical_bands=("B03", "B05"), out_dir=tmp_path / "passes")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optical_bands": ("B99",)}, "`optical_bands=B99`: must be names among B01"),
        ({"resolution": 0}, "`resolution=0`: must be above 0 metres"),
        ({"transfers": 0}, "`transfers=0`: must be from 1 to 64"),
        ({"resolutoin": 20}, "`resolutoin`: is not a setting; did you mean `resolution`"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], message: str, service: Service, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        floodseg.fetch(**service.settings(), **settings, out_dir=tmp_path / "passes")
