"""Tests of access rules."""

from pathlib import Path

import pytest

from floodseg.raster.access import file_on_disk, is_remote


@pytest.mark.parametrize(
    "path",
    ["https://a.org/b.tif", "HTTP://a.org/b.tif",
      "s3://bucket/b.tif", "/vsicurl/https://a.org/b.tif", "/vsis3/bucket/b",
     "/vsizip//vsicurl/https://a.org/b.zip/b.tif", "zip+https://a.org/b.zip!b.tif", "/vsicurl_streaming/http://a",
     "WFS:https://a.org/wfs", "https:/a.org/b.gpkg", "s3:/bucket/b.gpkg"],
)  # fmt: skip
def test_urls_and_network_file_systems_are_remote(path: str) -> None:
    assert is_remote(path)


@pytest.mark.parametrize(
    "path", ["b.tif", "/data/b.tif", "/vsizip//data/b.zip/b.tif", "file:///data/b.tif", "data/s3/b.tif", "C:/b.tif"]
)
def test_local_paths_are_not_remote(path: str) -> None:
    assert not is_remote(path)


def test_file_on_disk_finds_archives(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.touch()
    assert file_on_disk(f"/vsizip/{archive}/b/c.tif") == archive
    assert file_on_disk(str(archive)) == archive
    assert file_on_disk("https://a.org/b.tif") is None
