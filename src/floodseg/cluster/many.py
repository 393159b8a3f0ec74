"""``floodseg predict-many``: a list of scenes, mapped by the workers of a cluster, and an overview of all."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from floodseg.cluster.content import content_of, finished_content, settings_checksum
from floodseg.cluster.driver import Driver, Job
from floodseg.cluster.engine import connected
from floodseg.cluster.extra import dask_distributed, pyarrow_parquet
from floodseg.cluster.finished import SCENES
from floodseg.cluster.many_progress import ManyProgress
from floodseg.cluster.overview import write_overview
from floodseg.cluster.recipe import Recipe, found_by_all, open_here, recipe_of
from floodseg.cluster.scene_list import NamedScene, read_scenes
from floodseg.cluster.tasks import SceneTask
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig, PredictConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.inference.predict import DEFAULT_MODEL, check_sensors
from floodseg.scene.flag_checks import check_flags
from floodseg.system.files import locked_folder, require_writable, write_text

REPORT = "report.json"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ManyReport:
    """How a run over many scenes ended."""

    out_dir: Path
    mapped: int
    kept: int
    """Scenes that were finished before."""
    failed: dict[str, str]
    """Why, by scene."""
    seconds: float
    megapixels: float
    """Of the scenes that were mapped."""
    left_out: tuple[str, ...]
    """What the mosaics leave out, one sentence each."""

    def document(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return {
            "scenes": self.mapped + self.kept + len(self.failed), "mapped": self.mapped, "kept": self.kept,
            "failed": self.failed, "seconds": round(self.seconds, 3), "megapixels": self.megapixels,
            "megapixels_per_s": self.megapixels / self.seconds, "left_out": list(self.left_out),
        }  # fmt: skip


def predict_many(
    scenes: Path, config: ManyConfig, model: str = DEFAULT_MODEL, *, overwrite: bool = False,
    show_progress: bool = False,
) -> ManyReport:  # fmt: skip
    """Map a list of scenes, each to its own folder ``out_dir``/scenes/ID, and write an overview of all.

    A scene whose products are there, made from the same files, model and settings, is left as it is. One that fails is
    tried again, and then told in the report while the others go on.

    Args:
        scenes: the list, see :func:`floodseg.cluster.scene_list.read_scenes`.
        config: where and how.
        model: a shipped model's name, a run folder or a checkpoint that all workers see, or a reference method.
        overwrite: replace products that were made from others.
        show_progress: show a bar with throughput and the time left.

    Raises:
        FloodsegError: a list, settings, a model, a folder or a cluster that the user can mend.
    """
    began = time.monotonic()
    dask_distributed(), pyarrow_parquet()  # rather now than after an hour
    method, mapping = open_here(model, _mapping_of_workers(config))
    recipe = recipe_of(model, mapping)
    listed = read_scenes(scenes, config.shared, method.bands)
    for scene in listed:
        try:
            check_sensors(scene.config, method.bands, model)
            check_flags(scene.config, method.bands)
        except ConfigError as error:
            raise ConfigError(f"{scenes}, scene '{scene.id}': {error}") from error
    del method
    out_dir = config.out_dir.absolute()
    require_writable(out_dir, "--out-dir", folder=True)
    with locked_folder(out_dir):
        jobs = _jobs(listed, out_dir, mapping, found_by_all(model), recipe, overwrite)
        with ManyProgress(jobs, show_progress) as progress:
            _run([job for job in jobs if job.state == "open"], config, progress)
        left_out = write_overview(out_dir)
        report = _report(config.out_dir, jobs, time.monotonic() - began, left_out)
        write_text(out_dir / REPORT, json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")
    return report


def _run(jobs: list[Job], config: ManyConfig, progress: ManyProgress) -> None:
    if jobs:
        Driver(
            jobs, lambda: connected(config, progress.say), split_rows=config.split_rows, retries=config.retries,
            wait_s=config.wait_s, changed=progress.update,
        ).run()  # fmt: skip


def _mapping_of_workers(config: ManyConfig) -> MapConfig:
    """Return how a worker maps: on one thread, or where the workers share this machine, on its share of the cores."""
    mapping = config.mapping
    if mapping.threads is None:
        threads = 1 if config.workers is None else max(1, mapping.thread_count // config.workers)
        mapping = replace(mapping, threads=threads)
    return mapping


def _jobs(
    listed: Sequence[NamedScene], out_dir: Path, mapping: MapConfig, model: str, recipe: Recipe, overwrite: bool
) -> list[Job]:
    """Return the scenes, those as kept whose products are known to be what they are to be.

    Raises:
        RunFolderError: products of another model or of other settings are there, and may not be replaced.
    """
    jobs = []
    others = []
    for scene in listed:
        config = PredictConfig(out_dir / SCENES / scene.id, scene.config, mapping)
        job = Job(SceneTask(scene.id, config, model, recipe, overwrite))
        there = finished_content(config.out_dir)
        if there is not None:
            if there.get("recipe") != settings_checksum(config, recipe):
                others.append(scene.id)
            elif (known := content_of(config, recipe, only_known=True)) and known.key == there.get("key"):
                job.state = "kept"
        jobs.append(job)
    if others and not overwrite:
        names = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        raise RunFolderError(
            f"{out_dir}: {len(others)} of the scenes ({names}) were finished with another model or other settings: add "
            "--overwrite, or give another --out-dir"
        )
    return jobs


def _report(out_dir: Path, jobs: Sequence[Job], seconds: float, left_out: Sequence[str]) -> ManyReport:
    return ManyReport(
        out_dir=out_dir,
        mapped=sum(job.state == "mapped" for job in jobs),
        kept=sum(job.state == "kept" for job in jobs),
        failed={job.task.id: job.reason for job in jobs if job.state == "failed"},
        seconds=seconds,
        megapixels=sum(job.pixels for job in jobs) / 1e6,
        left_out=tuple(left_out),
    )
