"""Tests of the check of vector files by their first bytes."""

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import geopandas
import pytest
import shapely

from floodseg.errors import DataError
from floodseg.scene.layers.polygon_masks import open_polygons

SUFFIXES = {"GPKG": "gpkg", "GeoJSON": "geojson", "ESRI Shapefile": "shp", "FlatGeobuf": "fgb", "KML": "kml"}


@pytest.fixture
def table() -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(14, 45, 15, 46)], crs=4326)


@pytest.mark.parametrize("driver", SUFFIXES)
def test_supported_formats_are_read(tmp_path: Path, table: geopandas.GeoDataFrame, driver: str) -> None:
    file = tmp_path / f"area.{SUFFIXES[driver]}"
    table.to_file(file, driver=driver)
    assert open_polygons(str(file), "aoi").bounds == pytest.approx((14, 45, 15, 46))


def test_shapefile_folders_and_zips_are_read(tmp_path: Path, table: geopandas.GeoDataFrame) -> None:
    folder = tmp_path / "area"
    folder.mkdir()
    table.to_file(folder / "area.shp")
    with zipfile.ZipFile(tmp_path / "area.zip", "w") as archive:
        for part in folder.iterdir():
            archive.write(part, part.name)
    for name in ("area", "area.zip"):
        assert open_polygons(str(tmp_path / name), "aoi").bounds == pytest.approx((14, 45, 15, 46))


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server and the list of requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 (named by the library)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", paths
        http.shutdown()
        thread.join()


def test_local_files_cause_no_network_access(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, paths = server
    vrt = (
        f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/{address}/a.gpkg</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    for name, text in (
        ("a.vrt", vrt),
        ("a.gpkg", vrt),
        ("a.txt", f"WFS:{address}"),
        ("a.gml", f"<gml x='{address}'/>"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="its first bytes match no supported format"):
            open_polygons(str(tmp_path / name), "aoi")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.vrt", vrt)
    with pytest.raises(DataError, match="first bytes match no supported format"):
        open_polygons(str(tmp_path / "a.zip"), "aoi")
    assert not paths
