"""State of the app: folders, maps, open rasters and jobs, shared by all requests."""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from floodseg.errors import DataError
from floodseg.models.checkpoint.zoo import ShippedModel, shipped_models
from floodseg.products.folder import QUICKLOOK
from floodseg.server import companions
from floodseg.server.downloads import product_file, product_list
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.job_settings import JobForm, job_command, settings_documents
from floodseg.server.jobs import JobQueue
from floodseg.server.layers import InputStates, Layer, SceneLayers, input_states, open_layers
from floodseg.server.measurements import MapRasters, map_histogram
from floodseg.server.rasters import RasterPool
from floodseg.server.scenes import MapFolder, Scenes

_THUMBNAIL_SIDE = 320
_SENSORS = {"sar": "radar", "optical": "optical image"}


class Workspace:
    """Folders of the app, and all that is read from them.

    Args:
        folders: folders that may be read; the first one receives new maps.
        allow_remote: permit maps from a place and a date.
        basemap: background map of the user.
        as_shown: writes a message as the command line does, with settings as flags.
    """

    def __init__(
        self, folders: Folders, *, allow_remote: bool, basemap: Path | None, as_shown: Callable[[str], str]
    ) -> None:
        self.folders = folders
        self.allow_remote = allow_remote
        self.basemap = basemap
        self.as_shown = as_shown
        self.scenes = Scenes(folders)
        self.pool = RasterPool(folders)
        self.jobs = JobQueue()

    def close(self) -> None:
        """End the running job and close all files."""
        self.jobs.close()
        self.pool.close()

    def layers(self, scene: MapFolder) -> SceneLayers:
        """Return the layers and images of a map."""
        depth = companions.depth_folder(scene, self.folders)
        return _layers(scene, self.folders, depth, self.pool, input_states(scene, self.folders))

    def layer(self, identifier: str, name: str) -> Layer:
        """Return a layer of a map.

        Raises:
            RequestError: there is no such map or layer.
        """
        found = self.layers(self.scenes.get(identifier)).layers
        layer = next((layer for layer in found if layer.name == name), None)
        if layer is None:
            raise RequestError(f"layer '{name[:100]}': is not a layer of this map; reload the page", 404)
        return layer

    def rasters(self, scene: MapFolder) -> MapRasters:
        """Return the rasters of a map."""
        return MapRasters(scene, self.pool, companions.depth_folder(scene, self.folders))

    def info(self) -> dict[str, Any]:
        """Return what the page shows before a map is chosen."""
        return {
            "version": version("floodseg"),
            "allow_remote": self.allow_remote,
            "basemap": self.basemap is not None,
            "folders": [{"name": name, "path": str(path)} for name, path in self.folders.by_name.items()],
            "models": [_model_document(shipped) for shipped in shipped_models()],
            "settings": settings_documents("predict"),
            "map_settings": settings_documents("map") if self.allow_remote else [],
        }

    def details(self, scene: MapFolder) -> dict[str, Any]:
        """Return all that the page shows of one map."""
        found, damaged = self.layers(scene), companions.damaged_companions(scene, self.folders)
        return scene.document() | {
            "layers": [layer.document() for layer in found.layers],
            "areas": scene.areas,
            "histogram": map_histogram(self.rasters(scene)),
            "exposure": companions.exposure_rows(scene, self.folders),
            "depth": companions.depth_document(scene, self.folders),
            "sensor_shares": scene.summary.get("sensor_shares"),
            "files": product_list(scene, self.folders),
            "notes": [self.as_shown(note) for note in (*scene.summary["assumptions"], *found.notes, *damaged)],
        }

    def thumbnail(self, scene: MapFolder) -> bytes:
        """Return the picture of a map, at most 320 pixels a side, as PNG."""
        return _thumbnail(product_file(scene, self.folders, QUICKLOOK), scene)

    def start_job(self, body: bytes) -> dict[str, Any]:
        """Add a job from the form of the page.

        Raises:
            RequestError: the form is incomplete, or names a file outside the folders.
            FloodsegError: a setting is invalid, or the folder holds a finished map.
        """
        form = JobForm.parse(body)
        if form.kind == "map" and not self.allow_remote:
            raise RequestError("maps from a place and a date are off; start floodseg app with --allow-remote")
        out_dir = self.folders.output / form.name
        if not self.folders.contains(out_dir):
            raise RequestError(f"{form.name}: is a link to a place outside the folders; choose another name", 403)
        return self.jobs.add(form.kind, out_dir, job_command(form, out_dir, self.folders))


@lru_cache(maxsize=16)
def _layers(
    scene: MapFolder, folders: Folders, depth: Path | None, pool: RasterPool, states: InputStates
) -> SceneLayers:
    """Return the layers of a map; ``states`` change when one of its images is replaced, removed or restored."""
    return open_layers(scene, folders, depth, pool)


@lru_cache(maxsize=256)
def _thumbnail(picture: Path, scene: MapFolder) -> bytes:
    """Return a reduced picture; ``scene`` is another object after the map was made again."""
    stream = BytesIO()
    try:
        with Image.open(picture, formats=["PNG"]) as image:
            image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
            image.save(stream, "PNG")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{picture}: cannot be read as a picture ({error}); map the scene again") from error
    return stream.getvalue()


def _model_document(shipped: ShippedModel) -> dict[str, Any]:
    bands = shipped.description["bands"]
    sensors = [sensor for sensor in ("sar", "optical") if bands[sensor]]
    data = shipped.description["training"]["data"]
    text = f"{' and '.join(_SENSORS[sensor] for sensor in sensors)}; trained on {data}"
    return {"name": shipped.name, "sensors": sensors, "description": text}
