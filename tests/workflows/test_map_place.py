"""From a place and a date to a map, over the local catalogue and file server."""

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
from numpy.typing import NDArray
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

import floodseg
from file_server import two_faults_each
from floodseg.app.cli import main
from floodseg.config.fetch import MapPlaceConfig
from floodseg.config.flat import from_flat
from floodseg.errors import ConfigError, DataError, FloodsegError, RunFolderError
from floodseg.workflows.map_place import find_scene
from place_scenes import BEFORE_DATES, CORNER, HEIGHT, ORBIT, PLACE, WIDTH, Service, World, add_radar, serving_world
from stac_server import SearchFault

RASTERS = ("flood.tif", "water_probability.tif")


@pytest.fixture(autouse=True)
def _quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds between attempts where a test passes no retries."""
    monkeypatch.setattr("floodseg.catalog.retries.RetryPolicy.wait_s", lambda *arguments: 0.01)


def classes(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Any]:
    """Return the classes of a map, where they are valid, and the transform."""
    with rasterio.open(folder / "flood.tif") as source:
        values = source.read(1)
        return values, values != 255, source.transform


def cut(array: NDArray[Any], shape: tuple[int, ...], transform: Any) -> NDArray[Any]:
    """Return the part of an array of the scene (H, W) that a map shows."""
    left, top = round((transform.c - CORNER[0]) / 10), round((CORNER[1] - transform.f) / 10)
    return array[top : top + shape[0], left : left + shape[1]]


@pytest.fixture(scope="module")
def finished(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, floodseg.FloodMap]:
    """Map of the radar pass with the image from before, made once."""
    folder = tmp_path_factory.mktemp("map")
    with serving_world(world, folder) as service:
        return folder / "out", floodseg.map_place(**service.settings(), model="otsu", out_dir=folder / "out")


def test_image_from_before_is_the_median_of_three_dates(world: World, finished: tuple[Path, floodseg.FloodMap]) -> None:
    folder, flood_map = finished
    (file,) = flood_map.summary["inputs"]["sar_before"]
    assert file == str(folder / "passes" / "sentinel-1a_20241031T052714_r095_before" / "sar.tif")
    with rasterio.open(file) as source:
        median, transform = source.read(), source.transform
    powers = [10 ** (world.db[date].astype(np.float64) / 10) for date in BEFORE_DATES]
    expected = 10 * np.log10(np.median(powers, axis=0))
    for band, reference in zip(median, expected, strict=True):
        np.testing.assert_allclose(band, cut(reference, band.shape, transform), rtol=0, atol=1e-4)
    assert flood_map.areas["permanent_water"] > 0


def test_before_image_is_of_the_same_orbit_although_another_pass_is_nearer(
    finished: tuple[Path, floodseg.FloodMap],
) -> None:
    folder, flood_map = finished
    sar, before = flood_map.summary["sources"]
    assert (sar["setting"], before["setting"]) == ("sar", "sar_before")
    assert [entry["datetime"][:10] for entry in before["items"]] == ["2024-09-25", "2024-10-07", "2024-10-19"]
    assert not list((folder / "passes").glob("*_r022"))
    assert [entry["datetime"] for entry in sar["items"]] == ["2024-10-31T05:27:14Z", "2024-10-31T05:27:39Z"]
    assert sar["covered_share"] == before["covered_share"] == 1.0


def test_item_is_derived_from_unsigned_source_items(finished: tuple[Path, floodseg.FloodMap]) -> None:
    folder, _ = finished
    item = pystac.Item.from_file(str(folder / "item.json"))
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(text)) for uri, text in schemas.items()])
    core = schemas[f"https://schemas.stacspec.org/v{item.to_dict()['stac_version']}/item-spec/json-schema/item.json"]
    jsonschema.Draft7Validator(core, registry=registry).validate(item.to_dict())
    links = [link.href for link in item.get_links("derived_from")]
    assert len(links) == 5
    assert all(link.startswith("https://catalogue.example/collections/sentinel-1-rtc/items/S1A_") for link in links)
    assert not any("?" in link for link in links)
    assert item.properties["sat:relative_orbit"] == 95
    assert item.properties["sat:orbit_state"] == "descending"
    assert item.properties["processing:lineage"].endswith("mapped by floodseg with the model otsu")


@pytest.mark.parametrize("model", ["otsu", "s1-efficient"])
def test_map_of_two_slices_has_no_seam(
    model: str, world: World, finished: tuple[Path, floodseg.FloodMap], tmp_path: Path
) -> None:
    """The map of the mosaic equals that of the scene in one file."""
    folder, _ = finished
    (mosaic,) = (folder / "passes").glob("*_20241031T052714_r095/sar.tif")
    reference = tmp_path / "reference.tif"
    with rasterio.open(mosaic) as source:
        profile = source.profile
        scene = np.stack([cut(band, source.shape, source.transform) for band in world.db["flood"]])
        assert np.nanmax(np.abs(source.read() - scene)) <= 1e-4
    with rasterio.open(reference, "w", **profile) as target:
        target.write(scene)
    for name, file in (("mosaic", mosaic), ("reference", reference)):
        floodseg.predict_scene(sar=file, model=model, datetime="2024-10-31", out_dir=tmp_path / name)
    one, _, _ = classes(tmp_path / "mosaic")
    other, _, _ = classes(tmp_path / "reference")
    assert (one == other).mean() > 0.9999
    for name in RASTERS[1:]:
        with (
            rasterio.open(tmp_path / "mosaic" / name) as source,
            rasterio.open(tmp_path / "reference" / name) as second,
        ):
            difference = np.abs(source.read(1).astype(int) - second.read(1))
    if model != "otsu":  # which gives 0 or 100
        assert difference.max() <= 1


@pytest.mark.slow
def test_one_command_with_all_faults_gives_the_rasters_of_the_run_without_faults(
    world: World, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "faulty").mkdir()
    assert run("map", *at_place(service), "--out-dir", tmp_path / "plain") == 0
    requests = len(service.files.requests)
    with serving_world(world, tmp_path / "faulty", faulty_items(world)) as service:
        service.catalogue.page_size = 2
        service.catalogue.faults = {
            0: [SearchFault(status=429, retry_after="0"), SearchFault(status=500), SearchFault(cut=50)],
            1: [SearchFault(status=405, method="POST", always=True)],
        }
        names = [path.relative_to(world.root).as_posix() for path in world.root.rglob("*.tif")]
        service.files.faults = two_faults_each(names)
        service.files.token_uses = 11
        assert run("map", *at_place(service), "--out-dir", tmp_path / "faulty" / "out") == 0
        used = [name for name in names if not service.files.faults[name]]
        assert len(used) == 10 + 7, "two slices and three dates of two polarisations, and a tile of seven bands"
        assert len(service.files.attempts) <= requests + 2 * len(used) + 8 * len(service.files.tokens)
    passes = [path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.tif")]
    assert len(passes) == 2 + 4 + 3 + 1, "products, radar images, optical images and the median"
    for name in passes:
        assert (tmp_path / "faulty" / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"sig=" not in content, path
            assert b"secret" not in content, path


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def at_place(service: Service) -> tuple[Any, ...]:
    """Return the flags of a map of both sensors around a place."""
    place = ("--place", PLACE, "--radius", "1km", "--date", "2024-10-31", "--window", "0d")
    return (*place, "--source", service.source, "--allow-remote")


def faulty_items(world: World) -> list[dict[str, Any]]:
    """Return the items of the world with a duplicate, and one without VH."""
    first = world.items[0]
    without_vh = {**first, "id": "S1A_IW_GRDH_1SDV_20241031T052800_20241031T052825_056311_0000_rtc"}
    without_vh["assets"] = {"vv": first["assets"]["vv"]}
    return [*world.items, first, without_vh]


@pytest.mark.slow
def test_default_model_finds_permanent_water(world: World, service: Service, tmp_path: Path) -> None:
    floodseg.map_place(**service.settings(), out_dir=tmp_path / "out")
    values, valid, transform = classes(tmp_path / "out")
    river = cut(world.water_before, values.shape, transform)
    assert (values[valid & river] == 2).mean() > 10 * (values[valid & ~river] == 2).mean()
    assert (values == 1).mean() > 0.1


def test_second_run_needs_no_file(world: World, service: Service, tmp_path: Path) -> None:
    settings = service.settings(before="none")
    floodseg.map_place(**settings, model="otsu", out_dir=tmp_path / "out")
    count = len(service.files.attempts)
    with pytest.raises(RunFolderError, match="holds finished products; set `overwrite`"):
        floodseg.map_place(**settings, model="otsu", out_dir=tmp_path / "out")
    floodseg.map_place(**settings, model="otsu", out_dir=tmp_path / "out", overwrite=True)
    assert len(service.files.attempts) == count


def test_too_few_dates_map_without_image_from_before_and_say_so(world: World, tmp_path: Path) -> None:
    items = [item for item in world.items if "2024-10-07" not in item["properties"]["datetime"]]
    with serving_world(world, tmp_path, items) as service:
        flood_map = floodseg.map_place(**service.settings(), model="otsu", out_dir=tmp_path / "out")
    assert "sar_before" not in flood_map.summary["inputs"]
    (note,) = [text for text in flood_map.summary["assumptions"] if "no image from before" in text]
    start = "no image from before: 2 passes of relative orbit 95, descending, 12 to 60 days before 2024-10-31"
    assert note.startswith(start)
    assert "3 are needed" in note


def test_optical_map_takes_no_image_from_before(service: Service, tmp_path: Path) -> None:
    config = from_flat(MapPlaceConfig, service.settings(sensors="optical", out_dir=tmp_path / "out"))
    scene = find_scene(config)
    assert ([each.sensor for each in scene.passes], scene.before) == (["optical"], ())
    flood_map = floodseg.map_place(**service.settings(sensors="optical"), model="ndwi", out_dir=tmp_path / "out")
    assert [each["setting"] for each in flood_map.summary["sources"]] == ["optical"]
    assert "cloud_mask" in flood_map.summary["inputs"]


def test_sensors_that_are_near_in_time_are_mapped_together(service: Service, tmp_path: Path) -> None:
    def chosen(**changes: Any) -> tuple[str, ...]:
        config = from_flat(MapPlaceConfig, service.settings(sensors="both", out_dir=tmp_path, **changes))
        return tuple(each.sensor for each in find_scene(config).passes)

    assert chosen() == ("sar", "optical")
    assert len(chosen(days_apart=0.1)) == 1


def test_search_reads_no_file_and_counts_bytes(service: Service, tmp_path: Path) -> None:
    config = from_flat(MapPlaceConfig, service.settings(out_dir=tmp_path / "out"))
    scene = find_scene(config)
    assert service.files.attempts == []
    assert not (tmp_path / "out").exists()
    assert len(scene.before) == 3
    assert scene.bytes_to_read > scene.passes[0].bytes_to_read > 0


def test_without_permission_nothing_is_asked(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    with pytest.raises(ConfigError, match="no request was sent"):
        floodseg.map_place(**service.settings(allow_remote=False), out_dir=tmp_path / "out")
    assert service.catalogue.requests == []


def test_earlier_pass_without_valid_pixels_is_left_out_and_the_others_are_counted(world: World, tmp_path: Path) -> None:
    empty = World(world.root, {}, world.water_before, world.optical)
    nothing = np.full((2, HEIGHT, WIDTH), np.nan, np.float32)
    add_radar(empty, nothing, "2024-10-01T05:27:14Z", slice(0, HEIGHT), orbit=ORBIT)
    reason = (
        "pass of 2024-10-01 05:27 UTC: no pixel of the area is valid, although the footprints of its items cover it"
    )
    with serving_world(world, tmp_path, [*world.items, *empty.items]) as service:
        settings = service.settings()
        flood_map = floodseg.map_place(**settings, model="otsu", out_dir=tmp_path / "three")
        assert [each["setting"] for each in flood_map.summary["sources"]] == ["sar", "sar_before"]
        assert len(flood_map.summary["sources"][1]["items"]) == 3
        assert f"left out of the image from before: {reason}" in flood_map.summary["assumptions"]
        assert not list((tmp_path / "three" / "passes").glob(".*"))
    rest = [item for item in world.items if "2024-10-07" not in item["properties"]["datetime"]]
    with serving_world(world, tmp_path, [*rest, *empty.items]) as service:
        flood_map = floodseg.map_place(**service.settings(), model="otsu", out_dir=tmp_path / "two")
    assert [each["setting"] for each in flood_map.summary["sources"]] == ["sar"]
    (note,) = [text for text in flood_map.summary["assumptions"] if "no image from before" in text]
    assert note.startswith("no image from before: 2 passes of relative orbit 95, descending")


def test_flood_pass_without_valid_pixels_names_the_other_sensor(world: World, tmp_path: Path) -> None:
    empty = World(world.root, {}, world.water_before, world.optical)
    nothing = np.full((2, HEIGHT, WIDTH), np.nan, np.float32)
    add_radar(empty, nothing, "2024-10-31T05:19:00Z", slice(0, HEIGHT), orbit=22)
    optical = [item for item in world.items if item["collection"] == "sentinel-2-l2a"]
    with serving_world(world, tmp_path, [*optical, *empty.items]) as service:
        settings = {**service.settings(sensors="both"), "out_dir": tmp_path / "out"}
        with pytest.raises(DataError, match=r"no pixel of the area is valid.*; set `sensors=optical`, or other dates"):
            floodseg.map_place(**settings)
        floodseg.map_place(**{**settings, "sensors": "optical"}, model="ndwi")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"permanent_water": "absent.tif"}, "`permanent_water=absent.tif`"),
        ({"permanent_water": "https://a.b/c.tif"}, "is an address on a network; download the file and set its path"),
        ({"permanent_water": "jrc.tif"}, "`permanent_water=jrc.tif`: holds values from 0 to 90, but a mask holds"),
        ({"permanent_water_threshold": 50}, "`permanent_water_threshold=50`: has no effect without `permanent_water`"),
    ],
)
def test_layer_that_cannot_be_used_is_reported_before_any_request(
    changes: dict[str, Any], message: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    occurrence = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    occurrence[:, :200] = 90
    with rasterio.open(
        "jrc.tif", "w", driver="GTiff", count=1, height=HEIGHT, width=WIDTH, dtype="uint8", crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, CORNER[0], 0, -10, CORNER[1]),
    ) as target:  # fmt: skip
        target.write(occurrence)
    with pytest.raises(FloodsegError, match=message):
        floodseg.map_place(**service.settings(), **changes, out_dir=tmp_path / "out")
    assert service.catalogue.requests == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("otsu", "`model=otsu`: takes no optical image; set `sensors=sar` or another `model`"),
        ("s2", "`model=s2`: takes no radar image; set `sensors=optical` or another `model`"),
        ("s3", "s3"),
    ],
)
def test_model_that_does_not_fit_is_reported_before_files_are_read(
    model: str, message: str, service: Service, tmp_path: Path
) -> None:
    with pytest.raises(FloodsegError, match=message):
        floodseg.map_place(**service.settings(sensors="both"), model=model, out_dir=tmp_path / "out")
    assert service.files.attempts == []
