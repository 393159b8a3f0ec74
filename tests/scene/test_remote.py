"""Tests of images over HTTP: they are read with ``allow_remote``, and not requested without it."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import FloodsegError
from floodseg.geo.grid import Window
from floodseg.scene.file_scene import open_scene
from scenes import write_sar

RADAR = Bands(("VV", "VH"), ())


class RangeHandler(SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        content = Path(self.translate_path(self.path))
        if not content.is_file():
            self.send_error(404)
            return
        data, requested = content.read_bytes(), self.headers.get("Range")
        first, last = 0, len(data) - 1
        if requested:
            start, _, stop = requested.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop or last), last)
        self.send_response(206 if requested else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if requested:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def do_HEAD(self) -> None:
        self.requests.append(self.path)
        super().do_HEAD()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    requests: list[str] = []
    handler = type("Handler", (RangeHandler,), {"requests": requests})
    with HTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}", requests
        listening.shutdown()
        thread.join()


def test_remote_files_are_read_only_with_allow_remote(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, requests = server
    radar = write_sar(tmp_path / "s1.tif")
    virtual = tmp_path / "s1.vrt"
    band = f"<SimpleSource><SourceFilename>/vsicurl/{address}/s1.tif</SourceFilename><SourceBand>{{}}</SourceBand>"
    virtual.write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="48">'
        + "".join(
            f'<VRTRasterBand dataType="Float32" band="{number}"><Description>{name}</Description>'
            f"{band.format(number)}</SimpleSource></VRTRasterBand>"
            for number, name in enumerate(("VV", "VH"), start=1)
        )
        + "</VRTDataset>"
    )
    warped = tmp_path / "warped.vrt"
    warped.write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="48" subClass="VRTWarpedDataset">'
        '<VRTRasterBand dataType="Float32" band="1" subClass="VRTWarpedRasterBand"/>'
        '<VRTRasterBand dataType="Float32" band="2" subClass="VRTWarpedRasterBand"/>'
        f"<GDALWarpOptions><SourceDataset>/vsicurl/{address}/s1.tif</SourceDataset></GDALWarpOptions></VRTDataset>"
    )
    for name in (f"{address}/s1.tif", f"/vsicurl/{address}/s1.tif", str(virtual), str(warped)):
        with pytest.raises(FloodsegError):
            open_scene(SceneConfig(sar=(name,)), RADAR)
    assert requests == []
    for name in (f"{address}/s1.tif", str(virtual)):
        scene = open_scene(SceneConfig(sar=(name,), allow_remote=True), RADAR)
        assert np.array_equal(scene.read(Window(0, 0, 48, 40)).sar, radar)
        scene.close()
    assert "/s1.tif" in requests
