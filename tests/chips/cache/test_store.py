import errno
import logging
import multiprocessing
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

import scenes
from floodseg.app import cli
from floodseg.chips.cache import entry as cache_entry
from floodseg.chips.cache.entry import CachedRaster
from floodseg.chips.cache.folder import cache_folder, clear_cache
from floodseg.chips.cache.store import RasterCache, open_cache, open_through
from floodseg.chips.loader import Sample, make_loader
from floodseg.config.train import AugmentConfig, DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.raster.dataset import band_indices, frame_of, open_raster
from floodseg.raster.read import read_label, read_optical, read_sar

Writer = Callable[..., Path]
Array = np.ndarray[Any, Any]
MEMBERS = ("name", "count", "height", "width", "dtypes", "descriptions", "scales", "offsets", "nodatavals", "transform")


def forget_maps() -> None:
    """Make this process as new: nothing is mapped or checked yet."""
    cache_entry.load_entry.cache_clear()
    cache_entry._checked.clear()


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    forget_maps()
    note_once.cache_clear()
    yield
    forget_maps()


@pytest.fixture
def rasters(tmp_path: Path) -> RasterCache:
    return RasterCache(tmp_path / "cache", 10**9)


def entries(rasters: RasterCache) -> list[Path]:
    return sorted(rasters.folder.glob("*")) if rasters.folder.exists() else []


def found(rasters: RasterCache, path: Path) -> CachedRaster:
    result = rasters.find(path)
    assert result is not None
    return result


def numbers(dtype: str, bands: int = 3, height: int = 17, width: int = 23) -> Array:
    rng = np.random.default_rng(0)
    if np.issubdtype(np.dtype(dtype), np.floating):
        values = rng.normal(0, 10, (bands, height, width))
        values[0, :2, :3] = [[np.nan, np.inf, -np.inf], [-0.0, 1e-40, 3e38]]
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (bands, height, width), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize(
    "window", [None, RasterWindow(0, 0, 23, 17), RasterWindow(5, 2, 7, 11), RasterWindow(22, 16, 1, 1)]
)
def test_stored_numbers_are_those_of_the_file(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, dtype: str, window: RasterWindow | None
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers(dtype))
    cached = found(rasters, path)
    for indexes in ([1], [3, 1], [1, 2, 3]):
        with open_raster(path) as source:
            direct = source.read(indexes, window=window)
        read = cached.read(indexes, window=window)
        assert (read.dtype, read.shape) == (direct.dtype, direct.shape)
        assert read.tobytes() == direct.tobytes()
        with pytest.raises(ValueError, match="read-only"):
            read[:] = 1


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"names": ["VV", "VH"], "scales": [0.1, 0.30000000000000004], "offsets": [-25.0, 1 / 3], "nodata": 0},
        {"nodata": 255, "crs": "EPSG:32630", "transform": Affine(10.1, 0.2, 1 / 3, 0.3, -10.0, 4e6)},
        {"crs": "+proj=laea +lat_0=52 +lon_0=10", "transform": Affine(10, 0, 0, 0, -10, 0)},
    ],
    ids=["none", "bands", "grid", "grid without code"],
)
def test_tags_are_those_of_the_file(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, tags: dict[str, Any]
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8", bands=2), **tags)
    cached = found(rasters, path)
    with open_raster(path) as source:
        for member in MEMBERS:
            assert getattr(cached, member) == getattr(source, member), member
        assert frame_of(cached) == frame_of(source)
        assert band_indices(cached, "sar") == band_indices(source, "sar")


def test_nodata_that_is_no_number(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    cached = found(rasters, write_raster(tmp_path / "a.tif", numbers("float32", bands=1), nodata=np.nan))
    (nodata,) = cached.nodatavals
    assert nodata is not None
    assert np.isnan(nodata)


def test_bands_in_order_are_not_copied(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    cached = found(rasters, write_raster(tmp_path / "a.tif", numbers("int16")))
    assert np.shares_memory(cached.read([2, 3], RasterWindow(5, 2, 7, 11)), cached.pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_extremes_are_those_of_the_finite_numbers(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, dtype: str
) -> None:
    stored = numbers(dtype)
    if dtype == "float64":
        stored[2] = np.nan
    extremes = found(rasters, write_raster(tmp_path / "a.tif", stored)).extremes
    finite = [band[np.isfinite(band)] for band in stored]
    assert extremes == tuple((band.min(), band.max()) if band.size else (0, 0) for band in finite)


def test_maps_keep_no_file_open(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [found(rasters, write_raster(tmp_path / f"{step}.tif", numbers("uint8"))) for step in range(20)]
    assert len(list(Path("/proc/self/fd").iterdir())) < before + len(kept)


@pytest.mark.parametrize("storage", ["float32", "uint8"])
@pytest.mark.parametrize(("lowest", "message"), [(-120.0, "are not dB"), (0.5, "no radar value is below 0")])
def test_a_window_of_another_unit_is_refused_as_without_cache(
    tmp_path: Path, rasters: RasterCache, storage: str, lowest: float, message: str, write_raster: Writer
) -> None:
    """What is known of the whole raster must not hide what is wrong in a part."""
    db = np.full((2, 40, 40), -10.0, np.float32)
    db[:, 5:25, 5:25] = np.linspace(lowest, 3, 400).reshape(20, 20)
    tags: dict[str, Any] = {"scales": [0.5, 0.5], "offsets": [-122.0, -122.0]} if storage == "uint8" else {}
    path = write_raster(tmp_path / "a.tif", ((db + 122) * 2).astype(np.uint8) if tags else db, **tags)
    for cache in (None, rasters):
        with open_through(cache, path) as source:
            assert read_sar(source, window=Window(0, 30, 10, 10)).valid.all()
            with pytest.raises(DataError, match=message):
                read_sar(source, window=Window(5, 5, 20, 20))


def test_a_window_that_is_no_reflectance_is_refused_as_without_cache(
    tmp_path: Path, rasters: RasterCache, write_raster: Writer
) -> None:
    stored = np.full((13, 40, 40), 500, np.int16)
    stored[4, 8, 9] = -32768
    path = write_raster(tmp_path / "a.tif", stored)
    for cache in (None, rasters):
        with open_through(cache, path) as source:
            assert read_optical(source, ("B03", "B05"), window=Window(20, 20, 20, 20)).valid.all()
            assert read_optical(source, ("B03",)).valid.all()
            with pytest.raises(DataError, match="are not reflectance"):
                read_optical(source, ("B03", "B05"))


@pytest.mark.parametrize("window", [None, Window(3, 5, 20, 30)])
def test_physical_values_are_the_same_bit_for_bit(tmp_path: Path, rasters: RasterCache, window: Window | None) -> None:
    db = scenes.sar_values()
    db[:, 4:9, 6:11] = np.nan
    reflectance = scenes.optical_values()
    reflectance[:, 10:15] = np.nan
    scenes.write_sar(tmp_path / "float.tif", db)
    scenes.write_sar(tmp_path / "byte.tif", db, storage="uint8")
    scenes.write_optical(tmp_path / "plain.tif", reflectance)
    scenes.write_optical(tmp_path / "tagged.tif", reflectance, storage="uint16", stored_offset=1000, offset_tag=True)
    scenes.write_label(tmp_path / "label.tif")
    for rastered in (None, rasters):
        read = []
        for name in ("float", "byte"):
            with open_through(rastered, tmp_path / f"{name}.tif") as source:
                read.append(read_sar(source, window=window))
        for name in ("plain", "tagged"):
            with open_through(rastered, tmp_path / f"{name}.tif") as source:
                read.append(read_optical(source, ("B03", "B8A"), window=window))
        with open_through(rastered, tmp_path / "label.tif") as source:
            label = read_label(source, window)
        if rastered is None:
            direct, direct_label = read, label
    for one, other in zip(direct, read, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        assert one.valid.tobytes() == other.valid.tobytes()
    assert direct_label.tobytes() == label.tobytes()
    assert len(entries(rasters)) == 5


def test_a_file_is_decoded_once(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    found(rasters, path)
    monkeypatch.setattr(rasterio, "open", lambda path: pytest.fail(f"{path} opened again"))
    found(rasters, path)
    forget_maps()
    found(rasters, path)
    (entry,) = entries(rasters)
    assert entry.stat().st_size < numbers("int16").nbytes + 2000


def test_a_changed_file_is_decoded_anew(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    before, size = found(rasters, path), path.stat().st_size
    changed = path.stat().st_mtime_ns + 1
    write_raster(path, np.full((1, 8, 8), 4, np.uint8))
    os.utime(path, ns=(changed, changed))
    assert path.stat().st_size == size
    assert np.unique(found(rasters, path).read([1])).tolist() == [4]
    assert np.unique(before.read([1])).tolist() == [3]


def test_a_new_side_file_counts_as_a_change(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8", bands=1))
    assert found(rasters, path).nodatavals == (None,)
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    assert found(rasters, path).nodatavals == (7.0,)


def test_the_name_is_the_path_as_it_was_given(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8"))
    monkeypatch.chdir(tmp_path)
    assert [found(rasters, each).name for each in (path, Path("a.tif"))] == [str(path), "a.tif"]
    assert len(entries(rasters)) == 1


@pytest.mark.parametrize(("content", "what"), [(None, "no such file"), (b"no image", "is not an image")])
def test_broken_files_are_refused_as_without_cache(
    tmp_path: Path, rasters: RasterCache, content: bytes | None, what: str
) -> None:
    path = tmp_path / "a.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.tif: {what}"), open_through(rasters, path):
        pass
    assert entries(rasters) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "cut off"),
        (lambda content: content[:10], "cut off"),
        (lambda content: content[:100], "damaged"),
        (lambda content: content[:-1], "cut off"),
        (lambda content: content + b"x", "cut off"),
        (lambda content: b"OTHER" + content[5:], "damaged"),
        (lambda content: content[:40] + b"#" + content[41:], "damaged"),
        (lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:], "damaged"),
        (lambda content: bytes(len(content)), "damaged"),
    ],
)
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path,
    write_raster: Writer,
    rasters: RasterCache,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    message: str,
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    found(rasters, path)
    (entry,) = entries(rasters)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    forget_maps()
    np.testing.assert_array_equal(found(rasters, path).read([1, 2, 3]), numbers("int16"))
    assert entry.read_bytes() == whole
    assert [record.levelno for record in caplog.records if message in record.message] == [logging.WARNING]


def test_an_entry_of_another_file_is_not_taken(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    one = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    found(rasters, one)
    (entry,) = entries(rasters)
    content = entry.read_bytes()
    two = write_raster(tmp_path / "b.tif", np.full((1, 8, 8), 4, np.uint8))
    found(rasters, two)
    (other,) = set(entries(rasters)) - {entry}
    other.write_bytes(content)
    forget_maps()
    assert np.unique(found(rasters, two).read([1])).tolist() == [4]


def _read_in_a_process(rasters: RasterCache, paths: list[Path], start: Any, results: Any) -> None:
    start.wait()
    results.put([int(found(rasters, path).read([1, 2, 3]).astype(np.int64).sum()) for path in paths])


def test_two_processes_that_write_the_same_entries(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    arrays = [numbers("int16", height=64, width=64) + np.int16(step) for step in range(8)]
    paths = [write_raster(tmp_path / f"{step}.tif", array) for step, array in enumerate(arrays)]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_read_in_a_process, args=(rasters, paths, start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sums == [[int(array.astype(np.int64).sum()) for array in arrays]] * 2
    assert len(entries(rasters)) == 8  # and no temporary file


def test_the_least_recently_used_make_room(tmp_path: Path, write_raster: Writer) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", np.full((1, 100, 100), step, np.uint8)) for step in range(4)]
    rasters = RasterCache(tmp_path / "cache", 33_000)  # three entries of a little more than 10 kB
    mapped = [found(rasters, path) for path in paths[:3]]
    named = {step: cache_entry.entry_name(cache_entry.identify(path) or ()) for step, path in enumerate(paths)}
    for age, step in ((300, 0), (200, 1), (100, 2)):
        old = (rasters.folder / named[step]).stat().st_mtime - age
        os.utime(rasters.folder / named[step], (old, old))
    forget_maps()
    found(rasters, paths[0])  # used again, so that 1 is now the oldest
    found(rasters, paths[3])
    assert {entry.name for entry in entries(rasters)} == {named[0], named[2], named[3]}
    assert sum(entry.stat().st_size for entry in entries(rasters)) <= 33_000
    assert np.unique(mapped[1].read([1])).tolist() == [1]  # what was removed in use can still be read


def test_what_a_killed_process_left_makes_room(tmp_path: Path, write_raster: Writer) -> None:
    rasters = RasterCache(tmp_path / "cache", 15_000)
    rasters.folder.mkdir()
    left, being_written, foreign = (rasters.folder / name for name in (".a.raster", ".b.raster", "notes.txt"))
    for file in (left, being_written, foreign):
        file.write_bytes(bytes(3000))
    os.utime(left, (1, 1))
    found(rasters, write_raster(tmp_path / "a.tif", np.zeros((1, 100, 100), np.uint8)))
    assert (left.exists(), being_written.exists(), foreign.exists()) == (False, True, True)


def test_a_file_larger_than_the_cache_is_read_directly(
    tmp_path: Path, write_raster: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((1, 100, 100), np.uint8))
    rasters = RasterCache(tmp_path / "cache", 10_000)
    for _ in range(2):
        with open_through(rasters, path) as source:
            assert int(source.read([1]).sum()) == 10_000
    assert entries(rasters) == []
    assert caplog.text.count("larger decoded than the whole cache") == 1


def _assert_read_directly(rasters: RasterCache, paths: list[Path], caplog: pytest.LogCaptureFixture, why: str) -> None:
    for path in [*paths, *paths]:
        with open_through(rasters, path) as source:
            np.testing.assert_array_equal(source.read([1, 2, 3]), numbers("int16"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{rasters.folder}: decoded chips cannot be kept there ({why})" in record.message


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_write_that_fails_costs_one_warning(
    tmp_path: Path,
    write_raster: Writer,
    rasters: RasterCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]

    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("floodseg.system.files.os.replace", fail)
    _assert_read_directly(rasters, paths, caplog, os.strerror(code))
    assert entries(rasters) == []  # no temporary file stays


def _read_where_files_stay_small(rasters: RasterCache, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with open_through(rasters, path) as source:
        np.testing.assert_array_equal(source.read([1, 2, 3]), numbers("int16"))


def test_a_write_that_ends_in_the_middle_leaves_nothing(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_read_where_files_stay_small, args=(rasters, path))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert entries(rasters) == []
    found(rasters, path)  # with room again
    assert len(entries(rasters)) == 1


def test_a_folder_that_cannot_be_made_costs_one_warning(
    tmp_path: Path, write_raster: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]
    (tmp_path / "file").write_text("")
    rasters = RasterCache(tmp_path / "file" / "cache", 10**9)
    _assert_read_directly(rasters, paths, caplog, "Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_is_read_and_not_written(
    tmp_path: Path, write_raster: Writer, rasters: RasterCache, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]
    found(rasters, paths[0])
    rasters.folder.chmod(0o500)
    forget_maps()
    try:
        found(rasters, paths[0])
        assert caplog.records == []
        _assert_read_directly(rasters, paths, caplog, "Permission denied")
    finally:
        rasters.folder.chmod(0o700)


def test_bands_of_several_types_are_read_directly(tmp_path: Path, write_raster: Writer, rasters: RasterCache) -> None:
    write_raster(tmp_path / "a.tif", numbers("uint8", bands=1), crs="EPSG:32630", transform=Affine.scale(2.0))
    write_raster(tmp_path / "b.tif", numbers("int16", bands=1), crs="EPSG:32630", transform=Affine.scale(2.0))
    band = "<VRTRasterBand dataType='{}' band='{}'><SimpleSource><SourceFilename relativeToVRT='1'>{}</SourceFilename>"
    band += "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    bands = band.format("Byte", 1, "a.tif") + band.format("Int16", 2, "b.tif")
    path = tmp_path / "both.vrt"
    path.write_text(f"<VRTDataset rasterXSize='23' rasterYSize='17'>{bands}</VRTDataset>")
    assert rasters.find(path) is None
    with open_through(rasters, path) as source:
        np.testing.assert_array_equal(source.read([2]), numbers("int16", bands=1))


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "rasters"
    monkeypatch.delenv("FLOODSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "floodseg" / "rasters"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "floodseg" / "rasters"


def test_without_a_home_folder_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("floodseg.chips.cache.store.cache_folder", homeless)
    assert open_cache(DataConfig()) is None
    assert "no home folder" in caplog.text


def test_one_cache_a_process_for_a_folder_and_limit() -> None:
    rasters = open_cache(DataConfig(cache_gb=0.25))
    assert rasters is not None
    assert (rasters.folder, rasters.limit) == (cache_folder(), 250_000_000)
    assert pickle.loads(pickle.dumps(rasters)) is rasters
    assert open_cache(DataConfig(cache_gb=0)) is None


def test_a_cache_that_is_cleared_while_an_entry_is_written_goes_on(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "own"))
    rasters = RasterCache(cache_folder(), 10**9)
    monkeypatch.setattr("floodseg.chips.cache.store.cached_files", lambda _: clear_cache() and [])
    path = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    assert rasters.find(path) is None  # read directly this once
    monkeypatch.undo()
    assert np.unique(found(rasters, path).read([1])).tolist() == [3]


def test_an_entry_that_is_removed_before_it_is_mapped_is_made_anew(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch, rasters: RasterCache
) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    found(rasters, path)
    forget_maps()
    mapped, removed = cache_entry._mapped, []

    def make_room(entry: Path, size: int) -> memoryview:
        if not removed:
            removed.append(entry)
            entry.unlink()  # as another run does
        return mapped(entry, size)

    monkeypatch.setattr(cache_entry, "_mapped", make_room)
    assert np.unique(found(rasters, path).read([1])).tolist() == [3]
    assert removed


def test_clear_removes_entries_and_nothing_else(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "own"))
    assert clear_cache() == (0, 0)
    rasters = open_cache(DataConfig())
    assert rasters is not None
    mapped = found(rasters, write_raster(tmp_path / "a.tif", np.full((1, 100, 100), 3, np.uint8)))
    (entry,) = entries(rasters)
    size = entry.stat().st_size
    kept = rasters.folder / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(SystemExit) as stop:
        cli.main(["cache", "clear"])
    assert stop.value.code == 0
    assert f"{rasters.folder}: 1 files removed, {size / 1e6:.1f} MB freed" in capsys.readouterr().out
    assert entries(rasters) == [kept]
    assert np.unique(mapped.read([1])).tolist() == [3]


@pytest.fixture
def chip_folder(tmp_path: Path) -> Path:
    root = tmp_path / "chips"
    for number in range(5):
        name = f"{'AB'[number % 2]}_{number}"
        scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", storage="uint8", seed=number)
        scenes.write_optical(root / f"S2Hand/{name}_S2Hand.tif", seed=number)
        scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif")
    return root


def _batches(folder: Path, cache_gb: float, workers: int) -> list[Sample]:
    chips = open_layout(DataConfig(data=folder, layout="folders", cache_gb=cache_gb), "all")
    loader = make_loader(
        chips, augment=AugmentConfig(crop_size=32, crops_per_chip=2), batch_size=3, seed=5, workers=workers
    )
    return [{name: tensor.clone() for name, tensor in batch.items()} for batch in loader]


def test_batches_are_the_same_with_and_without_cache(
    tmp_path: Path, chip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _batches(chip_folder, 0.0, 0)
    for number, workers in enumerate((0, 2, 2)):  # an empty cache twice, then what is there
        monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / f"cache{min(number, 1)}"))
        batches = _batches(chip_folder, 1.0, workers)
        assert len(list(cache_folder().iterdir())) == 15
        for one, other in zip(expected, batches, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                assert one[name].numpy().tobytes() == other[name].numpy().tobytes(), name


def test_pairs_of_images_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for sensor, bands in (("1", 1), ("2", 3)):
        for part in ("before", "after", "mask"):
            shape = (40, 48) if bands == 1 or part == "mask" else (40, 48, bands)
            image = rng.integers(0, 256, shape, np.uint8)
            path = tmp_path / f"OmbriaS{sensor}/test/{part.upper()}/S{sensor}_{part}_0001.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(np.where(image > 127, 255, 0).astype(np.uint8) if part == "mask" else image).save(path)
    direct = open_layout(DataConfig(data=tmp_path, layout="ombria", cache_gb=0), "test").read(0, Window(4, 6, 30, 20))
    open_layout(DataConfig(data=tmp_path, layout="ombria"), "test").read(0)
    again = open_layout(DataConfig(data=tmp_path, layout="ombria"), "test")
    monkeypatch.setattr(rasterio, "open", lambda path: pytest.fail(f"{path} opened again"))
    chip = again.read(0, Window(4, 6, 30, 20))
    for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
        assert getattr(chip, name).tobytes() == getattr(direct, name).tobytes(), name


def test_labels_and_whole_chips_are_cached_too(chip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(data=chip_folder, layout="folders", sensors="sar")
    direct = open_layout(DataConfig(data=chip_folder, layout="folders", sensors="sar", cache_gb=0), "all").read(2)
    open_layout(config, "all").read(2)
    again = open_layout(config, "all")
    monkeypatch.setattr(rasterio, "open", lambda path: pytest.fail(f"{path} opened again"))
    chip = again.read(2)
    assert chip.grid == direct.grid
    for name in ("sar", "sar_valid", "label"):
        assert getattr(chip, name).tobytes() == getattr(direct, name).tobytes()
