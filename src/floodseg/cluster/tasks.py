"""What a worker does for a scene: plain functions of plain values, whose results say how it went.

Nothing is raised that a user can mend: a worker that fails for one scene goes on with others.
"""

import logging
import shutil
import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from floodseg.cluster.content import Content, content_of, finished_content
from floodseg.cluster.recipe import Recipe, recipe_of
from floodseg.config.predict import MapConfig, PredictConfig
from floodseg.errors import ConfigError, FloodsegError, FolderInUseError, RunFolderError
from floodseg.inference.parts import predict_parts, predict_rows, rows_of_windows
from floodseg.products.info import OneOfMany
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PlainMethod
from floodseg.system.environment import versions

COLLECTION = "collection.json"
COLLECTION_ID = "floodseg"
_TO_COLLECTION = f"../../{COLLECTION}"


@dataclass(frozen=True, slots=True)
class SceneTask:
    """A scene to be mapped; everything is named so that each worker finds it."""

    id: str
    config: PredictConfig
    model: str
    """Name or absolute path."""
    recipe: Recipe
    overwrite: bool

    def part(self, content: Content, rows: range) -> Path:
        """Return the file of a part of the scene: parts of other content have other names."""
        return self.parts / f"{content.key[:16]}-{rows.start:05}-{rows.stop:05}.npz"

    @property
    def parts(self) -> Path:
        """The folder of the parts, beside that of the products."""
        return self.config.out_dir.with_name(f".{self.id}.parts")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task went."""

    kind: Literal["mapped", "kept", "planned", "part", "busy", "failed"]
    seconds: float = 0.0
    host: str = field(default_factory=socket.gethostname)
    pixels: int = 0
    """Of a scene that was mapped."""
    rows: int = 0
    """Of windows, where the scene was planned."""
    content: Content | None = None
    reason: str = ""
    """Why it failed, one sentence."""
    trace: str = ""
    """Where a defect of floodseg showed."""
    notes: tuple[str, ...] = ()
    """Warnings of floodseg, one sentence each."""


def map_whole(task: SceneTask) -> Outcome:
    """Map a scene to its products, unless they are there."""

    def work() -> Outcome:
        content = _content(task)
        if _is_finished(task, content):
            return Outcome("kept", content=content)
        from floodseg.inference.pipeline import predict_files

        runtime, name = _runtime(task)
        summary = predict_files(task.config, runtime, name, many=_one_of_many(task, content), overwrite=True)
        shutil.rmtree(task.parts, ignore_errors=True)  # of an earlier run that split the scene
        return Outcome("mapped", pixels=_pixels(summary["grid"]), content=content)

    return _told(work)


def plan(task: SceneTask) -> Outcome:
    """Find out how many rows of windows a scene has, unless its products are there."""

    def work() -> Outcome:
        content = _content(task)
        if _is_finished(task, content):
            return Outcome("kept", content=content)
        rows, _ = rows_of_windows(task.config, _runtime(task)[0])
        return Outcome("planned", rows=rows, content=content)

    return _told(work)


def map_part(task: SceneTask, content: Content, rows: range) -> Outcome:
    """Map a part of a scene, unless its file is there."""

    def work() -> Outcome:
        path = task.part(content, rows)
        if not path.exists():
            predict_rows(task.config, _runtime(task)[0], rows, path)
        return Outcome("part")

    return _told(work)


def join(task: SceneTask, content: Content, parts: Sequence[range]) -> Outcome:
    """Make the products of a scene out of its parts, and remove these."""

    def work() -> Outcome:
        files = [task.part(content, rows) for rows in parts]
        kind: Literal["mapped", "kept"] = "kept"
        pixels = 0
        if not _is_finished(task, content):
            runtime, name = _runtime(task)
            many = _one_of_many(task, content)
            summary = predict_parts(task.config, runtime, name, files, many=many, overwrite=True)
            kind, pixels = "mapped", _pixels(summary["grid"])
        shutil.rmtree(task.parts, ignore_errors=True)
        return Outcome(kind, pixels=pixels, content=content)

    return _told(work)


def _pixels(grid: dict[str, int]) -> int:
    return grid["height"] * grid["width"]


def _content(task: SceneTask) -> Content:
    content = content_of(task.config, task.recipe)
    assert content is not None, "files were read"
    return content


def _one_of_many(task: SceneTask, content: Content) -> OneOfMany:
    return OneOfMany(task.id, COLLECTION_ID, _TO_COLLECTION, content.entry())


def _is_finished(task: SceneTask, content: Content) -> bool:
    """Tell whether the products are there.

    Raises:
        RunFolderError: others are, which may not be replaced.
    """
    there = finished_content(task.config.out_dir)
    if there is not None and there.get("key") == content.key:
        return True
    if there is not None and not task.overwrite:
        raise RunFolderError(
            f"{task.config.out_dir}: holds products of other inputs, of another model or of other settings: add "
            "--overwrite, or give another --out-dir"
        )
    return False


def _told(work: Callable[[], Outcome]) -> Outcome:
    """Return how some work went, whatever happens, with what floodseg warned of meanwhile."""
    began = time.monotonic()
    notes = _Notes()
    logger = logging.getLogger("floodseg")
    logger.addHandler(notes)
    try:
        outcome = work()
    except FolderInUseError as error:
        outcome = Outcome("busy", reason=str(error))
    except FloodsegError as error:
        outcome = Outcome("failed", reason=str(error))
    except OSError as error:
        outcome = Outcome("failed", reason=f"{error.filename or 'a file'}: {error.strerror or error}")
    except MemoryError:
        outcome = Outcome("failed", reason="memory ran out: give the workers more, or a smaller --tile-size")
    # a defect of ours: the other scenes go on, and whoever started them is told where it is
    except Exception as error:
        defect = f"a defect of floodseg, {type(error).__name__}: {error}"
        outcome = Outcome("failed", reason=defect, trace=traceback.format_exc())
    finally:
        logger.removeHandler(notes)
    return replace(outcome, seconds=time.monotonic() - began, notes=tuple(dict.fromkeys(notes.sentences)))


class _Notes(logging.Handler):
    """Keeps warnings for whoever started the run, in place of a worker's log that nobody reads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


_runtimes: dict[tuple[str, Recipe, MapConfig], tuple[Runtime | PlainMethod, str]] = {}
_runtimes_lock = threading.Lock()


def _runtime(task: SceneTask) -> tuple[Runtime | PlainMethod, str]:
    """Return the model, which each worker loads once.

    Raises:
        ConfigError: the worker has another floodseg or another model than whoever started the run.
        CheckpointError: the worker does not find the model.
    """
    from floodseg.inference.predict import open_method

    key = task.model, task.recipe, task.config.mapping
    with _runtimes_lock:
        if key not in _runtimes:
            own, asked = versions()["floodseg"], task.recipe.version
            if own != asked:
                raise ConfigError(
                    f"worker on {socket.gethostname()}: has floodseg {own}, and the run was started by {asked}: "
                    "install the same"
                )
            if recipe_of(task.model, task.config.mapping) != task.recipe:
                raise ConfigError(
                    f"worker on {socket.gethostname()}: finds another model as '{task.model}' than whoever started the "
                    "run: give one that all hosts see"
                )
            _runtimes.clear()
            _runtimes[key] = open_method(task.model, task.config.mapping)
        return _runtimes[key]
