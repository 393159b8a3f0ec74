"""Windows of remote GeoTIFFs, their local copies, and the bytes that are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster

from file_server import Fault, FileServer, serving
from floodseg.catalog.remote.client import Client, RemoteFile
from floodseg.catalog.remote.local_copy import MAX_HEADER_BYTES, PAGE_BYTES
from floodseg.catalog.remote.windows import RemoteImage, open_remote_image, read_windows
from floodseg.catalog.retries import RetryPolicy
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.session import Session

QUICK = RetryPolicy(attempts=3, first_wait_s=0.01, timeout_s=5)
HEIGHT, WIDTH = 700, 900
WINDOW = Window(200, 300, 150, 170)
FORMATS: dict[str, dict[str, Any]] = {
    "cog": {"driver": "COG", "blocksize": 128, "compress": "deflate", "overview_resampling": "average"},
    "bigtiff-cog": {"driver": "COG", "blocksize": 128, "compress": "deflate", "bigtiff": "yes"},
    "tiled": {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 128},
    "strips": {"driver": "GTiff", "blockysize": 16, "compress": "lzw"},
    "one-strip": {"driver": "GTiff", "blockysize": HEIGHT},
    "big-endian": {"driver": "GTiff", "tiled": True, "blockxsize": 128, "blockysize": 128, "endianness": "big"},
}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).gamma(4, 0.02, (HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray[Any, Any]) -> Path:
    root = tmp_path_factory.mktemp("files")
    profile = {"count": 1, "height": HEIGHT, "width": WIDTH, "dtype": "float32", "nodata": -32768, "crs": "EPSG:32630"}
    base = root / "base.tif"
    with rasterio.open(base, "w", driver="GTiff", transform=(10, 0, 5e5, 0, -10, 4.5e6), **profile) as target:
        target.write(pixels, 1)
    for name, options in FORMATS.items():
        copy_raster(base, root / f"{name}.tif", **options)
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    with serving(folder) as state:
        yield state


def opened(server: FileServer, name: str, copies: Path, pixel: float | None = None) -> tuple[Client, RemoteImage]:
    client = Client(QUICK)
    remote = RemoteFile(server.href(f"{name}.tif"), "item A, asset vv")
    return client, open_remote_image(copies, remote, client, pixel)


def read(image: RemoteImage, window: Window) -> np.ndarray[Any, Any]:
    session = Session(allow_remote=False)
    try:
        return session.read(image.gdal_name, [1], window)[0]
    finally:
        session.close()


@pytest.mark.parametrize("format_name", FORMATS)
def test_window_equals_that_of_the_file(
    format_name: str, server: FileServer, tmp_path: Path, pixels: np.ndarray[Any, Any]
) -> None:
    client, image = opened(server, format_name, tmp_path)
    assert not image.is_present(WINDOW)
    read_windows(client, [(image, WINDOW)])
    assert image.is_present(WINDOW)
    assert image.grid.transform == (10, 0, 5e5, 0, -10, 4.5e6)
    np.testing.assert_array_equal(read(image, WINDOW), pixels[200:350, 300:470])


def test_only_tiles_of_the_window_and_few_header_bytes_are_read(
    server: FileServer, folder: Path, tmp_path: Path
) -> None:
    client, image = opened(server, "cog", tmp_path)
    header = server.sent("cog.tif")
    assert header <= MAX_HEADER_BYTES
    read_windows(client, [(image, WINDOW)])
    with rasterio.open(folder / "cog.tif") as source:
        touched = 0
        for row in range(200 // 128, 349 // 128 + 1):
            for column in range(300 // 128, 469 // 128 + 1):
                touched += int(source.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1))
    between_tiles = 8 * 5
    assert touched <= server.sent("cog.tif") - header <= touched + between_tiles


def test_coarse_target_reads_an_overview(server: FileServer, folder: Path, tmp_path: Path) -> None:
    client, image = opened(server, "cog", tmp_path, pixel=25)
    assert (image.grid.height, image.grid.width, image.grid.transform[0]) == (350, 450, 20)
    window = Window(100, 150, 75, 85)
    read_windows(client, [(image, window)])
    with rasterio.open(folder / "cog.tif", overview_level=0) as source:
        expected = source.read(1)[100:175, 150:235]
    np.testing.assert_array_equal(read(image, window), expected)


def test_later_run_reads_only_what_is_missing(server: FileServer, tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    client, image = opened(server, "cog", tmp_path)
    total = sum(stop - start for start, stop in image.ranges(WINDOW))
    server.always["cog.tif"] = Fault(500)
    first = image.ranges(WINDOW)[0]
    server.faults["cog.tif"] = [Fault()]
    image.copy.fetch(first)
    with pytest.raises(DataError, match="item A, asset vv: cannot be read"):
        read_windows(client, [(image, WINDOW)])
    server.always.clear()
    client, again = opened(server, "cog", tmp_path)
    assert read_windows(client, [(again, WINDOW)]) == total - (first[1] - first[0])
    np.testing.assert_array_equal(read(again, WINDOW), pixels[200:350, 300:470])
    spans = server.requests
    assert len(set(spans)) == len(spans), "no part is read twice"


def test_damaged_journal_starts_again(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, pixels: np.ndarray[Any, Any]
) -> None:
    client, image = opened(server, "cog", tmp_path)
    read_windows(client, [(image, WINDOW)])
    (journal,) = tmp_path.glob("*.parts")
    journal.write_text(journal.read_text() + "12 x\n")
    client, again = opened(server, "cog", tmp_path)
    assert "its journal is damaged" in caplog.text
    assert read_windows(client, [(again, WINDOW)]) > 0
    np.testing.assert_array_equal(read(again, WINDOW), pixels[200:350, 300:470])


def test_file_that_changes_on_the_server_is_not_mixed(server: FileServer, tmp_path: Path) -> None:
    client, image = opened(server, "cog", tmp_path)
    server.versions["cog.tif"] = '"2"'
    with pytest.raises(DataError, match="has changed on the server while its parts were read; run the same command"):
        read_windows(client, [(image, WINDOW)])
    client, again = opened(server, "cog", tmp_path)  # the advice of the message
    assert read_windows(client, [(again, WINDOW)]) > 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"JP2 is another format" * 2000, "it is not a TIFF"),
        (b"II*\x00\xff\xff\xff\x7f" + bytes(40_000), "its directories end early"),
        (b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" + bytes(40_000), "it has a damaged directory"),
        (b"II*\x00\x00\x00\x00\x00" + bytes(40_000), "it has no image"),
    ],
)
def test_file_that_is_no_geotiff_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(content)
    with (
        serving(tmp_path) as server,
        pytest.raises(DataError, match=rf"item A, asset vv: cannot be read by windows \({reason}\)"),
    ):
        opened(server, "bad", tmp_path)


def test_directories_of_more_than_64_kib_are_refused(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path = tmp_path / "text.tif"
    profile = {"count": 1, "height": 64, "width": 64, "dtype": "float32", "crs": "EPSG:32630"}
    with rasterio.open(path, "w", driver="GTiff", transform=(10, 0, 5e5, 0, -10, 4.5e6), **profile) as target:
        target.write(pixels[:64, :64], 1)
        target.update_tags(TEXT="x" * (MAX_HEADER_BYTES + PAGE_BYTES))
    (tmp_path / "copies").mkdir()
    with serving(tmp_path) as server, pytest.raises(DataError, match="its directories need more than 64 KiB"):
        opened(server, "text", tmp_path / "copies")
