import errno
import logging
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
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
from floodseg.chips import cache as module
from floodseg.chips.cache import CachedRaster, ChipCache, cache_folder, clear_cache, open_cache
from floodseg.chips.loader import Sample, make_loader
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.raster.bands import band_indices
from floodseg.raster.dataset import extent_of, open_raster

Writer = Callable[..., Path]
Array = np.ndarray[Any, Any]
MEMBERS = ("name", "count", "height", "width", "dtypes", "descriptions", "scales", "offsets", "nodatavals", "transform")


@pytest.fixture(autouse=True)
def _forget_messages() -> Iterator[None]:
    note_once.cache_clear()
    yield
    note_once.cache_clear()


@pytest.fixture
def cache(tmp_path: Path) -> ChipCache:
    return ChipCache(tmp_path / "cache", 10**9)


def entries(cache: ChipCache) -> list[Path]:
    return sorted(cache.folder.glob("*")) if cache.folder.exists() else []


def cached(cache: ChipCache, path: Path) -> CachedRaster:
    with cache.open(path) as source:
        assert isinstance(source, CachedRaster)
        return source


def read_directly(cache: ChipCache, path: Path) -> Array:
    with cache.open(path) as source:
        assert not isinstance(source, CachedRaster)
        return source.read([1, 2, 3])


def new_process(cache: ChipCache) -> ChipCache:
    """Return the cache as opened by another process, with no verified entry."""
    return ChipCache(cache.folder, cache.limit)


def numbers(dtype: str, bands: int = 3, height: int = 17, width: int = 23) -> Array:
    rng = np.random.default_rng(0)
    if np.issubdtype(np.dtype(dtype), np.floating):
        values = rng.normal(0, 10, (bands, height, width))
        values[0, :2, :3] = [[np.nan, np.inf, -np.inf], [-0.0, 1e-40, 3e38]]
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (bands, height, width), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_cached_pixels_equal_those_of_the_file(
    tmp_path: Path, write_raster: Writer, cache: ChipCache, dtype: str
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers(dtype))
    raster = cached(cache, path)
    for window in (None, RasterWindow(5, 2, 7, 11), RasterWindow(22, 16, 1, 1)):
        for indexes in ([1], [3, 1], [1, 2, 3]):
            with open_raster(path) as source:
                direct = source.read(indexes, window=window)
            read = raster.read(indexes, window=window)
            assert (read.dtype, read.shape) == (direct.dtype, direct.shape)
            assert read.tobytes() == direct.tobytes()


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
def test_metadata_equals_that_of_the_file(
    tmp_path: Path, write_raster: Writer, cache: ChipCache, tags: dict[str, Any]
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8", bands=2), **tags)
    raster = cached(cache, path)
    with open_raster(path) as source:
        for member in MEMBERS:
            assert getattr(raster, member) == getattr(source, member), member
        assert extent_of(raster) == extent_of(source)
        assert band_indices(raster, "sar") == band_indices(source, "sar")


def test_an_entry_is_a_plain_array_file_that_is_written_once(
    tmp_path: Path, write_raster: Writer, cache: ChipCache
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    cached(cache, path)
    (entry,) = entries(cache)
    np.testing.assert_array_equal(np.load(entry), numbers("int16"))
    before = entry.stat()
    cached(cache, path)
    cached(new_process(cache), path)
    after = entry.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


def test_a_file_is_opened_once_in_a_process(
    tmp_path: Path, write_raster: Writer, cache: ChipCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    cached(cache, path)
    monkeypatch.setattr(rasterio, "open", lambda path: pytest.fail(f"{path} opened again"))
    cached(cache, path)


def test_cached_rasters_keep_no_file_open(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for step in range(20):
        cached(cache, write_raster(tmp_path / f"{step}.tif", numbers("uint8")))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_a_changed_file_is_decoded_again(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    before, size = cached(cache, path), path.stat().st_size
    changed = path.stat().st_mtime_ns + 1
    write_raster(path, np.full((1, 8, 8), 4, np.uint8))
    os.utime(path, ns=(changed, changed))
    assert path.stat().st_size == size
    assert np.unique(cached(cache, path).read([1])).tolist() == [4]
    assert np.unique(before.read([1])).tolist() == [3]


def test_a_new_sidecar_file_counts_as_a_change(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8", bands=1))
    assert cached(cache, path).nodatavals == (None,)
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    assert cached(cache, path).nodatavals == (7.0,)


def test_relative_and_absolute_paths_share_an_entry(
    tmp_path: Path, write_raster: Writer, cache: ChipCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("uint8"))
    monkeypatch.chdir(tmp_path)
    assert [cached(cache, each).name for each in (path, Path("a.tif"))] == [str(path), "a.tif"]
    assert len(entries(cache)) == 1


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"no image", "is not an image")])
def test_damaged_files_are_refused_as_without_cache(
    tmp_path: Path, cache: ChipCache, content: bytes | None, message: str
) -> None:
    path = tmp_path / "a.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.tif: {message}"), cache.open(path):
        pass
    assert entries(cache) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:3],
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"OTHER" + content[5:],
        lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "3 bytes", "100 bytes", "1 byte less", "1 byte more", "header", "number", "zeros"],
)
def test_a_damaged_entry_is_written_again(
    tmp_path: Path,
    write_raster: Writer,
    cache: ChipCache,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    cached(cache, path)
    (entry,) = entries(cache)
    undamaged = entry.read_bytes()
    entry.write_bytes(damage(undamaged))
    np.testing.assert_array_equal(cached(new_process(cache), path).read([1, 2, 3]), numbers("int16"))
    assert entry.read_bytes() == undamaged
    assert [record.levelno for record in caplog.records if "is damaged" in record.message] == [logging.WARNING]


def test_an_entry_of_another_file_is_not_used(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    one = write_raster(tmp_path / "a.tif", np.full((1, 8, 8), 3, np.uint8))
    cached(cache, one)
    (entry,) = entries(cache)
    two = write_raster(tmp_path / "b.tif", np.full((1, 8, 8), 4, np.uint8))
    cached(cache, two)
    (other,) = set(entries(cache)) - {entry}
    other.write_bytes(entry.read_bytes())
    assert np.unique(cached(new_process(cache), two).read([1])).tolist() == [4]


def _read_in_process(cache: ChipCache, paths: list[Path], start: Any, results: Any) -> None:
    start.wait()
    results.put([int(cached(cache, path).read([1, 2, 3]).astype(np.int64).sum()) for path in paths])


def test_two_processes_can_write_the_same_entries(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    arrays = [numbers("int16", height=64, width=64) + np.int16(step) for step in range(8)]
    paths = [write_raster(tmp_path / f"{step}.tif", array) for step, array in enumerate(arrays)]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_read_in_process, args=(cache, paths, start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sums == [[int(array.astype(np.int64).sum()) for array in arrays]] * 2
    assert len(entries(cache)) == 8  # and no temporary file


def test_the_least_recently_used_entries_are_removed(tmp_path: Path, write_raster: Writer) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", np.full((1, 100, 100), step, np.uint8)) for step in range(4)]
    cache = ChipCache(tmp_path / "cache", 33_000)  # three entries of a little more than 10 kB
    mapped = [cached(cache, path) for path in paths[:3]]
    files = [cache.folder / module._entry_name(path) for path in paths]
    for age, file in zip((300, 200, 100), files, strict=False):
        old = file.stat().st_mtime - age
        os.utime(file, (old, old))
    later = new_process(cache)
    cached(later, paths[0])  # used again: entry 1 is now the oldest
    cached(later, paths[3])
    assert set(entries(cache)) == {files[0], files[2], files[3]}
    assert sum(entry.stat().st_size for entry in entries(cache)) <= 33_000
    assert np.unique(mapped[1].read([1])).tolist() == [1]  # a mapped entry stays readable after its removal
    assert np.unique(cached(cache, paths[1]).read([1])).tolist() == [1]


@pytest.mark.parametrize("written", [1.0, time.time() + 10**6], ids=["long ago", "by a clock that was set back"])
def test_files_of_killed_processes_and_earlier_versions_are_removed(
    tmp_path: Path, write_raster: Writer, written: float
) -> None:
    cache = ChipCache(tmp_path / "cache", 15_000)
    cache.folder.mkdir()
    temporary, being_written, foreign = (cache.folder / name for name in (".a.0123.npy", ".b.0123.npy", "notes.txt"))
    earlier = cache.folder / "0123.raster"
    for file in (temporary, being_written, foreign, earlier):
        file.write_bytes(bytes(3000))
    for file in (temporary, earlier):
        os.utime(file, (written, written))
    cached(cache, write_raster(tmp_path / "a.tif", np.zeros((1, 100, 100), np.uint8)))
    present = [file.exists() for file in (temporary, earlier, being_written, foreign)]
    assert present == [False, False, True, True]


def test_a_file_larger_than_the_cache_is_read_directly(
    tmp_path: Path, write_raster: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16", height=100, width=100))
    cache = ChipCache(tmp_path / "cache", 50_000)
    for _ in range(2):
        np.testing.assert_array_equal(read_directly(cache, path), numbers("int16", height=100, width=100))
    assert entries(cache) == []
    assert caplog.text.count("is larger than the cache when decoded") == 1


def _assert_read_directly(cache: ChipCache, paths: list[Path], caplog: pytest.LogCaptureFixture, reason: str) -> None:
    for path in [*paths, *paths]:
        np.testing.assert_array_equal(read_directly(cache, path), numbers("int16"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{cache.folder}: decoded chips cannot be cached ({reason})" in record.message


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failed_write_logs_one_warning(
    tmp_path: Path,
    write_raster: Writer,
    cache: ChipCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]

    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("floodseg.system.files.os.replace", fail)
    _assert_read_directly(cache, paths, caplog, os.strerror(code))
    assert entries(cache) == []  # no temporary file is left


def _read_with_small_file_limit(cache: ChipCache, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    np.testing.assert_array_equal(read_directly(cache, path), numbers("int16"))


def test_an_incomplete_write_leaves_no_file(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_read_with_small_file_limit, args=(cache, path))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert entries(cache) == []
    cached(cache, path)  # with room again
    assert len(entries(cache)) == 1


def test_a_folder_that_cannot_be_created_logs_one_warning(
    tmp_path: Path, write_raster: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]
    (tmp_path / "file").write_text("")
    _assert_read_directly(ChipCache(tmp_path / "file" / "cache", 10**9), paths, caplog, "Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_cache_is_read_and_not_written(
    tmp_path: Path, write_raster: Writer, cache: ChipCache, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [write_raster(tmp_path / f"{step}.tif", numbers("int16")) for step in range(2)]
    cached(cache, paths[0])
    cache.folder.chmod(0o500)
    later = new_process(cache)
    try:
        cached(later, paths[0])
        assert caplog.records == []
        _assert_read_directly(later, paths[1:], caplog, "Permission denied")
    finally:
        cache.folder.chmod(0o700)


def test_bands_of_several_types_are_read_directly(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    write_raster(tmp_path / "a.tif", numbers("uint8", bands=1), crs="EPSG:32630", transform=Affine.scale(2.0))
    write_raster(tmp_path / "b.tif", numbers("int16", bands=1), crs="EPSG:32630", transform=Affine.scale(2.0))
    band = "<VRTRasterBand dataType='{}' band='{}'><SimpleSource><SourceFilename relativeToVRT='1'>{}</SourceFilename>"
    band += "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    bands = band.format("Byte", 1, "a.tif") + band.format("Int16", 2, "b.tif")
    path = tmp_path / "both.vrt"
    path.write_text(f"<VRTDataset rasterXSize='23' rasterYSize='17'>{bands}</VRTDataset>")
    with cache.open(path) as source:
        np.testing.assert_array_equal(source.read([2]), numbers("int16", bands=1))
    assert entries(cache) == []


def test_the_cache_folder_depends_on_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "cache-folder"))
    assert cache_folder() == tmp_path / "cache-folder" / "rasters"
    monkeypatch.delenv("FLOODSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "floodseg" / "rasters"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "floodseg" / "rasters"


def test_without_a_home_folder_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module, "cache_folder", no_home)
    assert open_cache(DataConfig()) is None
    assert "no home folder" in caplog.text


def test_cache_gb_is_in_gigabytes_and_0_turns_the_cache_off() -> None:
    cache = open_cache(DataConfig(cache_gb=0.25))
    assert cache is not None
    assert (cache.folder, cache.limit) == (cache_folder(), 250_000_000)
    assert open_cache(DataConfig(cache_gb=0)) is None


def test_a_cache_can_be_cleared_while_an_entry_is_written(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "cache-folder"))
    cache = ChipCache(cache_folder(), 10**9)
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_make_room", clear_cache)
        np.testing.assert_array_equal(read_directly(cache, path), numbers("int16"))
    np.testing.assert_array_equal(cached(cache, path).read([1, 2, 3]), numbers("int16"))


def test_a_removed_entry_is_written_again(tmp_path: Path, write_raster: Writer, cache: ChipCache) -> None:
    path = write_raster(tmp_path / "a.tif", numbers("int16"))
    cached(cache, path)
    (entry,) = entries(cache)
    entry.unlink()
    np.testing.assert_array_equal(cached(cache, path).read([1, 2, 3]), numbers("int16"))
    assert entries(cache) == [entry]


def test_clear_removes_only_entries(
    tmp_path: Path, write_raster: Writer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "cache-folder"))
    assert clear_cache() == (0, 0)
    cache = open_cache(DataConfig())
    assert cache is not None
    mapped = cached(cache, write_raster(tmp_path / "a.tif", np.full((1, 100, 100), 3, np.uint8)))
    (entry,) = entries(cache)
    size = entry.stat().st_size
    other_file = cache.folder / "notes.txt"
    other_file.write_text("mine")
    with pytest.raises(SystemExit) as stop:
        cli.main(["cache", "clear"])
    assert stop.value.code == 0
    assert f"{cache.folder}: 1 files removed, {size / 1e6:.1f} MB freed" in capsys.readouterr().out
    assert entries(cache) == [other_file]
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
    augmentation = AugmentConfig(crop_size=32, crops_per_chip=2)
    return list(make_loader(chips, augment=augmentation, batch_size=3, seed=5, workers=workers))


def test_batches_are_the_same_with_and_without_cache(
    tmp_path: Path, chip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _batches(chip_folder, 0.0, 0)
    for number, workers in enumerate((0, 2, 2)):  # an empty cache twice, then one with entries
        monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / f"cache{min(number, 1)}"))
        batches = _batches(chip_folder, 1.0, workers)
        assert len(list(cache_folder().iterdir())) == 15
        for one, other in zip(expected, batches, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                assert one[name].numpy().tobytes() == other[name].numpy().tobytes(), name


def test_pairs_of_images_are_cached(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for sensor, bands in (("1", 1), ("2", 3)):
        for part in ("before", "after", "mask"):
            shape = (40, 48) if bands == 1 or part == "mask" else (40, 48, bands)
            image = rng.integers(0, 256, shape, np.uint8)
            path = tmp_path / f"OmbriaS{sensor}/test/{part.upper()}/S{sensor}_{part}_0001.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(np.where(image > 127, 255, 0).astype(np.uint8) if part == "mask" else image).save(path)
    before = set(cache_folder().glob("*"))
    _assert_same_chips(DataConfig(data=tmp_path, layout="ombria"), "test", 0)
    assert len(set(cache_folder().glob("*")) - before) == 6


@pytest.mark.parametrize("sensors", ["both", "sar"])
def test_chips_are_the_same_with_and_without_cache(chip_folder: Path, sensors: Any) -> None:
    _assert_same_chips(DataConfig(data=chip_folder, layout="folders", sensors=sensors), "all", 2)


def _assert_same_chips(config: DataConfig, split: str, index: int) -> None:
    for window in (None, Window(4, 6, 30, 20)):
        direct = open_layout(replace(config, cache_gb=0), split).read(index, window)
        for _ in range(2):  # an entry is written, then read
            chip = open_layout(config, split).read(index, window)
            assert chip.grid == direct.grid
            for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
                assert getattr(chip, name).tobytes() == getattr(direct, name).tobytes(), name
