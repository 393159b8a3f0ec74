"""``floodseg predict-many``: maps a list of scenes on the workers of a cluster and writes an overview."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.cluster.engine import map_scenes
from floodseg.cluster.extra import import_extra
from floodseg.cluster.fingerprint import cached_fingerprint, finished_entry, settings_checksum
from floodseg.cluster.model_files import absolute_model_name, identify_model, open_model
from floodseg.cluster.overview import write_overview
from floodseg.cluster.progress import ManyProgress
from floodseg.cluster.scene_list import NamedScene, read_scenes
from floodseg.cluster.tasks import BatchRun, Outcome
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.inference.model_choice import AUTO, choose_model
from floodseg.inference.predict import check_sensors
from floodseg.scene.clouds.csmask import csmask_is_installed
from floodseg.scene.setting_checks import check_settings
from floodseg.system.files import locked_folder, require_writable, write_text

_LOG = getLogger("floodseg")

ALL_BANDS = Bands(SAR_BANDS, L1C_BANDS)
"""Bands with which a list of scenes is read before the model is chosen."""
REPORT = "report.json"
_MAX_LISTED = 3


@dataclass(frozen=True, slots=True)
class ManyReport:
    """Result of a run over many scenes."""

    out_dir: Path
    mapped: int
    """Number of scenes that were mapped."""
    already_finished: int
    """Number of scenes that were finished before the run."""
    failed: dict[str, str]
    """Reason of the failure by scene."""
    seconds: float
    """Duration of the run."""
    megapixels: float
    """Megapixels of the scenes that were mapped."""
    left_out: tuple[str, ...]
    """One sentence for each scene that is missing from the mosaics or the collection."""

    def document(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return {
            "scenes": self.mapped + self.already_finished + len(self.failed), "mapped": self.mapped,
            "kept": self.already_finished,  # the name in reports of earlier versions
            "failed": self.failed, "seconds": round(self.seconds, 3), "megapixels": self.megapixels,
            "megapixels_per_s": self.megapixels / self.seconds, "left_out": list(self.left_out),
        }  # fmt: skip


def predict_many(
    scenes: Path, config: ManyConfig, model: str = AUTO, *, overwrite: bool = False,
    show_progress: bool = False,
) -> ManyReport:  # fmt: skip
    """Map each scene of a list to a folder ``out_dir``/scenes/ID, and write an overview of all scenes.

    Scenes with finished products of the same files, model and settings are not mapped again. A failed scene is tried
    again. If it keeps failing, the report has the reason, and the other scenes are still mapped.

    Args:
        scenes: file of the list; see :func:`floodseg.cluster.scene_list.read_scenes`.
        config: settings of the run.
        model: ``auto`` (one shipped model for all scenes, by the sensors in the list), a shipped model, a classical
            baseline, or a run folder or checkpoint that all workers can read.
        overwrite: replace products that were made from other files, with another model or with other settings.
        show_progress: show a progress bar on standard error.

    Raises:
        FloodsegError: the list, a setting, the model, the folder or the cluster cannot be used.
    """
    start = time.monotonic()
    # report a missing package before the mapping, not after it
    import_extra("distributed")
    import_extra("pyarrow")
    listed, run = _prepare(scenes, config, model, overwrite=overwrite)
    require_writable(run.out_dir, "out_dir", folder=True)
    with locked_folder(run.out_dir):
        waiting = _unfinished(listed, run)
        outcomes = _map(waiting, run, config, already_finished=len(listed) - len(waiting), show_progress=show_progress)
        left_out = write_overview(run.out_dir)
        failed = {scene.id: outcomes[scene.id].reason for scene in waiting if outcomes[scene.id].reason}
        mapped = sum(outcome.pixels > 0 for outcome in outcomes.values())
        report = ManyReport(
            config.out_dir, mapped, len(listed) - mapped - len(failed), failed, time.monotonic() - start,
            sum(outcome.pixels for outcome in outcomes.values()) / 1e6, tuple(left_out),
        )  # fmt: skip
        write_text(run.out_dir / REPORT, json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")
    return report


def _prepare(scenes: Path, config: ManyConfig, model: str, *, overwrite: bool) -> tuple[list[NamedScene], BatchRun]:
    """Read a list of scenes, open the model and check the settings of each scene with it."""
    reason = None
    if model == AUTO:
        listed = read_scenes(scenes, config.shared, ALL_BANDS)
        model, reason = choose_model(
            model, sar=any(scene.config.sar for scene in listed), optical=any(scene.config.optical for scene in listed),
            source="the list of scenes",
        )  # fmt: skip
        method, mapping = open_model(model, _worker_mapping(config))
    else:
        method, mapping = open_model(model, _worker_mapping(config))
        listed = read_scenes(scenes, config.shared, method.bands)
    for scene in listed:
        try:
            check_sensors(scene.config, method.bands, model)
            check_settings(scene.config, method.bands)
        except ConfigError as error:
            raise ConfigError(f"{scenes}, scene '{scene.id}': {error}") from error
    run = BatchRun(
        config.out_dir.absolute(),
        absolute_model_name(model),
        replace(identify_model(model, mapping), csmask=csmask_is_installed()),
        mapping,
        overwrite,
        reason,
    )
    return listed, run


def _worker_mapping(config: ManyConfig) -> MapConfig:
    """Return the settings of a worker. Workers of a scheduler use one thread; local workers divide the cores."""
    mapping = config.mapping
    if mapping.threads is not None:
        return mapping
    return replace(mapping, threads=1 if config.workers is None else max(1, mapping.thread_count // config.workers))


def _unfinished(listed: Sequence[NamedScene], run: BatchRun) -> list[NamedScene]:
    """Return the scenes that are not known to be finished. Input files are not read.

    Raises:
        RunFolderError: a scene has products of another model or other settings, and ``overwrite`` is not set.
    """
    waiting, others = [], []
    for scene in listed:
        config = run.config(scene)
        finished = finished_entry(config.out_dir)
        if finished is not None and finished.get("recipe") != settings_checksum(config, run.identity):
            others.append(scene.id)
        elif finished is not None:
            cached = cached_fingerprint(config, run.identity)
            if cached is not None and cached.key == finished.get("key"):
                continue
        waiting.append(scene)
    if others and not run.overwrite:
        names = ", ".join(others[:_MAX_LISTED]) + (", ..." if len(others) > _MAX_LISTED else "")
        raise RunFolderError(
            f"{run.out_dir}: {len(others)} of the scenes ({names}) were finished with another model or other settings; "
            "set `overwrite` or another `out_dir`"
        )
    return waiting


def _map(
    scenes: Sequence[NamedScene], run: BatchRun, config: ManyConfig, *, already_finished: int, show_progress: bool
) -> dict[str, Outcome]:
    """Map scenes on the cluster, if there are any, and return their outcomes by id."""
    outcomes: dict[str, Outcome] = {}
    if scenes:
        with ManyProgress(len(scenes) + already_finished, already_finished, enabled=show_progress) as progress:
            for scene, outcome in map_scenes(scenes, run, config):
                for sentence in outcome.warnings:
                    _LOG.warning("%s: %s", scene.id, sentence)
                outcomes[scene.id] = outcome
                progress.advance(outcome)
    return outcomes
