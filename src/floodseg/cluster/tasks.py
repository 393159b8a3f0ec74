"""Mapping of one scene on a worker: one task, a plain function of plain values."""

import logging
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from logging.handlers import BufferingHandler
from pathlib import Path

from floodseg.cluster.fingerprint import ModelIdentity, scene_fingerprint, finished_entry
from floodseg.cluster.finished import COLLECTION, COLLECTION_ID, SCENES
from floodseg.cluster.model_files import identify_model
from floodseg.cluster.scene_list import NamedScene
from floodseg.config.predict import MapConfig, PredictConfig
from floodseg.errors import ConfigError, FloodsegError, FolderInUseError, RunFolderError
from floodseg.products.info import OneOfMany
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PlainMethod
from floodseg.system.environment import versions

_BUSY_PAUSE_S = 5.0
_BUSY_LIMIT_S = 3600.0
"""Longest wait for another process that maps the same scene."""

_MAX_WARNINGS = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """What all scenes of a run have in common; the folder and the model are found by every worker."""

    out_dir: Path
    model: str
    """Name or absolute path."""
    identity: ModelIdentity
    mapping: MapConfig
    overwrite: bool

    def config(self, scene: NamedScene) -> PredictConfig:
        """Return how one scene is mapped, and where its products go."""
        return PredictConfig(self.out_dir / SCENES / scene.id, scene.config, self.mapping)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scene ended: mapped, finished before (no pixels), or failed (a reason)."""

    pixels: int = 0
    """Pixels that were mapped."""
    warnings: tuple[str, ...] = ()
    """What floodseg warned of meanwhile, one sentence each."""
    reason: str = ""
    """Why the scene failed, one sentence."""


class SceneFailedError(Exception):
    """Failure of a scene in plain strings, which every process can read: the reason, and the traceback of a defect."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace


def map_scene(scene: NamedScene, run: Run) -> Outcome:
    """Map a scene to its products, unless they are finished.

    Raises:
        SceneFailedError: it cannot be mapped.
    """
    with _collect_warnings() as collected:
        try:
            pixels = _map_when_free(scene, run)
            warnings = dict.fromkeys(record.getMessage() for record in collected.buffer)
            return Outcome(pixels, tuple(warnings))
        except Exception as error:
            failure = _failure(error)
    raise failure  # here, without the error as its context: not every error of a library can be pickled


def _failure(error: Exception) -> SceneFailedError:
    if isinstance(error, FloodsegError):
        return SceneFailedError(str(error))
    if isinstance(error, MemoryError):
        return SceneFailedError("memory ran out: give the workers more, or a smaller `tile_size`")
    if isinstance(error, OSError):
        return SceneFailedError(f"{error.filename or 'a file'}: {error.strerror or error}")
    sentence = f"a defect of floodseg, {type(error).__name__}: {' '.join(str(error).split())}"
    return SceneFailedError(sentence, "".join(traceback.format_exception(error)))


def _map_when_free(scene: NamedScene, run: Run) -> int:
    """Map a scene once no other process works in its folder: a worker that is cut off goes on with its scene."""
    deadline = time.monotonic() + _BUSY_LIMIT_S
    while True:
        try:
            return _map_unless_finished(scene, run)
        except FolderInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)


def _map_unless_finished(scene: NamedScene, run: Run) -> int:
    """Map a scene and return its number of pixels; 0 where the products are finished."""
    from floodseg.inference.pipeline import predict_files

    config = run.config(scene)
    content = scene_fingerprint(config, run.identity)
    finished = finished_entry(config.out_dir)
    if finished is not None and finished.get("key") == content.key:
        return 0
    if finished is not None and not run.overwrite:
        raise RunFolderError(
            f"{config.out_dir}: holds products of other inputs, of another model or of other settings: add "
            "`overwrite`, or give another `out_dir`"
        )
    runtime, name = _open_model(run.model, run.identity, run.mapping)
    many = OneOfMany(scene.id, COLLECTION_ID, f"../../{COLLECTION}", content.entry())
    grid = predict_files(config, runtime, name, many=many, overwrite=True)["grid"]
    return int(grid["height"] * grid["width"])


@contextmanager
def _collect_warnings() -> Iterator[BufferingHandler]:
    """Collect warnings, which would be lost in the log of a worker, for the process that started the run."""
    handler = BufferingHandler(_MAX_WARNINGS)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("floodseg")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@lru_cache(maxsize=1)
def _open_model(model: str, identity: ModelIdentity, mapping: MapConfig) -> tuple[Runtime | PlainMethod, str]:
    """Return the model, which each worker loads once.

    Raises:
        ConfigError: this worker has another version of floodseg, or another model, than the run.
        CheckpointError: this worker does not find the model.
    """
    from floodseg.inference.predict import open_method

    own = versions()["floodseg"]
    if own != identity.version:
        raise ConfigError(
            f"worker on {socket.gethostname()}: has floodseg {own}, and the run was started by {identity.version}: "
            "install the same"
        )
    if identify_model(model, mapping) != identity:
        raise ConfigError(
            f"worker on {socket.gethostname()}: finds another model as '{model}' than the process that started the "
            "run: give one that all hosts see"
        )
    return open_method(model, mapping)
