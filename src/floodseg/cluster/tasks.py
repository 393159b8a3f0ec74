"""Dask task that maps one scene on a worker."""

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

from floodseg.cluster.fingerprint import ModelIdentity, finished_entry, scene_fingerprint
from floodseg.cluster.finished import COLLECTION, COLLECTION_ID, SCENES
from floodseg.cluster.model_files import identify_model
from floodseg.cluster.scene_list import NamedScene
from floodseg.config.predict import MapConfig, PredictConfig
from floodseg.errors import ConfigError, FloodsegError, FolderInUseError, RunFolderError
from floodseg.products.info import CollectionMember
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import ClassicalMethod
from floodseg.scene.clouds.csmask import csmask_is_installed
from floodseg.system.environment import versions

_BUSY_PAUSE_S = 5.0
_BUSY_LIMIT_S = 3600.0
"""Longest wait for another process that is mapping the same scene."""

_MAX_WARNINGS = 10_000


@dataclass(frozen=True, slots=True)
class BatchRun:
    """Settings that all scenes of a run share, as they are sent to the workers."""

    out_dir: Path
    """Absolute path, the same on every worker."""
    model: str
    """Name of a shipped model or classical baseline, or an absolute path that is the same on every worker."""
    identity: ModelIdentity
    mapping: MapConfig
    overwrite: bool
    model_choice: str | None = None
    """Reason for the choice of the model; None if the settings name it."""

    def config(self, scene: NamedScene) -> PredictConfig:
        """Return the settings of one scene, with the folder of its products."""
        return PredictConfig(self.out_dir / SCENES / scene.id, scene.config, self.mapping)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one scene: mapped (``pixels`` > 0), already finished (0 pixels), or failed (with a ``reason``)."""

    pixels: int = 0
    """Number of mapped pixels."""
    warnings: tuple[str, ...] = ()
    """Warnings of floodseg during the task, one sentence each."""
    reason: str = ""
    """Reason of the failure, one sentence."""


class SceneFailedError(Exception):
    """Failure of a scene as picklable strings: the reason, and the traceback of an internal error."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason, trace)
        self.reason, self.trace = reason, trace


def map_scene_task(scene: NamedScene, run: BatchRun) -> Outcome:
    """Map a scene and write its products, unless they are finished already.

    Raises:
        SceneFailedError: the scene cannot be mapped.
    """
    with _collect_warnings() as collected:
        try:
            pixels = _map_when_free(scene, run)
            warnings = dict.fromkeys(record.getMessage() for record in collected.buffer)
            return Outcome(pixels, tuple(warnings))
        except Exception as error:
            failure = _failure(error)
    raise failure  # outside of the except block, so that the original error, perhaps not picklable, is not attached


def _failure(error: Exception) -> SceneFailedError:
    if isinstance(error, FloodsegError):
        return SceneFailedError(str(error))
    if isinstance(error, MemoryError):
        return SceneFailedError("memory ran out; give the workers more memory, or set a smaller `tile_size`")
    if isinstance(error, OSError):
        return SceneFailedError(f"{error.filename or 'a file'}: {error.strerror or error}")
    sentence = f"internal error of floodseg ({type(error).__name__}: {' '.join(str(error).split())})"
    return SceneFailedError(sentence, "".join(traceback.format_exception(error)))


def _map_when_free(scene: NamedScene, run: BatchRun) -> int:
    """Map a scene when no other process uses its folder. A worker that lost its connection may still be mapping it."""
    deadline = time.monotonic() + _BUSY_LIMIT_S
    while True:
        try:
            return _map_unless_finished(scene, run)
        except FolderInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)


def _map_unless_finished(scene: NamedScene, run: BatchRun) -> int:
    """Map a scene and return its number of pixels; 0 if its products are finished already."""
    from floodseg.inference.pipeline import predict_files

    config = run.config(scene)
    fingerprint = scene_fingerprint(config, run.identity)
    finished = finished_entry(config.out_dir)
    if finished is not None and finished.get("key") == fingerprint.key:
        return 0
    if finished is not None and not run.overwrite:
        raise RunFolderError(
            f"{config.out_dir}: holds products that were made from other files, with another model or with other "
            "settings; set `overwrite` or another `out_dir`"
        )
    if config.scene.optical and config.scene.cloud_mask == "auto":
        _check_csmask(run.identity)
    runtime, name = _open_model(run.model, run.identity, run.mapping)
    member = CollectionMember(scene.id, COLLECTION_ID, f"../../{COLLECTION}", fingerprint.entry())
    summary = predict_files(config, runtime, name, model_choice=run.model_choice, member=member, overwrite=True)
    grid = summary["grid"]
    return int(grid["height"] * grid["width"])


def _check_csmask(identity: ModelIdentity) -> None:
    """Raise ConfigError unless this worker finds clouds in the same way as the process that started the run."""
    if csmask_is_installed() != identity.csmask:
        here, there = ("lacks", "has") if identity.csmask else ("has", "lacks")
        raise ConfigError(
            f"worker on {socket.gethostname()}: {here} the extra clouds, which the process that started the run "
            f"{there}; install it on all hosts (pip install 'floodseg[clouds]'), or set `cloud_mask`"
        )


@contextmanager
def _collect_warnings() -> Iterator[BufferingHandler]:
    """Collect the warnings of a task. The process that started the run logs them."""
    handler = BufferingHandler(_MAX_WARNINGS)
    handler.setLevel(logging.WARNING)
    logger = logging.getLogger("floodseg")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@lru_cache(maxsize=1)
def _open_model(model: str, identity: ModelIdentity, mapping: MapConfig) -> tuple[Runtime | ClassicalMethod, str]:
    """Open the model of a run. Each worker does so once.

    Raises:
        ConfigError: the version of floodseg on this worker differs from that of the run, or its model of this name
            does.
        CheckpointError: this worker does not find the model.
    """
    from floodseg.inference.predict import open_model_or_baseline

    own = versions()["floodseg"]
    if own != identity.version:
        raise ConfigError(
            f"worker on {socket.gethostname()}: has floodseg {own}, but the run was started with {identity.version}; "
            "install the same version"
        )
    if identify_model(model, mapping).checksum != identity.checksum:
        raise ConfigError(
            f"worker on {socket.gethostname()}: its model '{model}' differs from that of the process that started the "
            "run; put the model in a folder that all hosts share"
        )
    return open_model_or_baseline(model, mapping)
