"""``floodseg predict-many``: a list of scenes mapped by the workers of a cluster, and an overview of all of them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

from floodseg.cluster.content import finished_content, known_content, settings_checksum
from floodseg.cluster.engine import map_scenes
from floodseg.cluster.model_files import absolute_name, identify, open_model
from floodseg.cluster.overview import write_overview
from floodseg.cluster.packages import imported
from floodseg.cluster.progress import ManyProgress
from floodseg.cluster.scene_list import NamedScene, read_scenes
from floodseg.cluster.tasks import Outcome, Run
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.inference.predict import DEFAULT_MODEL, check_sensors
from floodseg.scene.setting_checks import check_settings
from floodseg.system.files import locked_folder, require_writable, write_text

_LOG = getLogger("floodseg")

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
    """Reasons by scene."""
    seconds: float
    megapixels: float
    """Megapixels of the scenes that were mapped."""
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

    A scene whose products were made from the same files, model and settings is kept. A scene that fails is tried
    again; if it fails to the end, its reason is reported, and the other scenes go on.

    Args:
        scenes: the list, see :func:`floodseg.cluster.scene_list.read_scenes`.
        config: settings of the run.
        model: a shipped model's name, a run folder or a checkpoint that all workers see, or a reference method.
        overwrite: replace products that were made from other files, by another model or with other settings.
        show_progress: show a progress line on standard error.

    Raises:
        FloodsegError: a list, settings, a model, a folder or a cluster that the user can correct.
    """
    began = time.monotonic()
    imported("distributed"), imported("pyarrow")  # before hours of mapping
    method, mapping = open_model(model, _worker_mapping(config))
    listed = read_scenes(scenes, config.shared, method.bands)
    for scene in listed:
        try:
            check_sensors(scene.config, method.bands, model)
            check_settings(scene.config, method.bands)
        except ConfigError as error:
            raise ConfigError(f"{scenes}, scene '{scene.id}': {error}") from error
    del method
    run = Run(config.out_dir.absolute(), absolute_name(model), identify(model, mapping), mapping, overwrite)
    require_writable(run.out_dir, "out_dir", folder=True)
    with locked_folder(run.out_dir):
        waiting = _unfinished(listed, run)
        outcomes = _map(waiting, run, config, kept=len(listed) - len(waiting), show_progress=show_progress)
        left_out = write_overview(run.out_dir)
        failed = {scene.id: outcomes[scene.id].reason for scene in waiting if outcomes[scene.id].reason}
        mapped = sum(outcome.pixels > 0 for outcome in outcomes.values())
        report = ManyReport(
            config.out_dir, mapped, len(listed) - mapped - len(failed), failed, time.monotonic() - began,
            sum(outcome.pixels for outcome in outcomes.values()) / 1e6, tuple(left_out),
        )  # fmt: skip
        write_text(run.out_dir / REPORT, json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")
    return report


def _worker_mapping(config: ManyConfig) -> MapConfig:
    """Return how a worker maps: on one thread, or where the workers share this machine, on its share of the cores."""
    mapping = config.mapping
    if mapping.threads is not None:
        return mapping
    return replace(mapping, threads=1 if config.workers is None else max(1, mapping.thread_count // config.workers))


def _unfinished(listed: Sequence[NamedScene], run: Run) -> list[NamedScene]:
    """Return the scenes that are not known to be finished; no file is read for it.

    Raises:
        RunFolderError: there are products of another model or of other settings, which may not be replaced.
    """
    waiting, others = [], []
    for scene in listed:
        config = run.config(scene)
        finished = finished_content(config.out_dir)
        if finished is not None and finished.get("recipe") != settings_checksum(config, run.identity):
            others.append(scene.id)
        elif finished is not None:
            known = known_content(config, run.identity)
            if known is not None and known.key == finished.get("key"):
                continue
        waiting.append(scene)
    if others and not run.overwrite:
        names = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        raise RunFolderError(
            f"{run.out_dir}: {len(others)} of the scenes ({names}) were finished with another model or other settings: "
            "add `overwrite`, or give another `out_dir`"
        )
    return waiting


def _map(
    scenes: Sequence[NamedScene], run: Run, config: ManyConfig, *, kept: int, show_progress: bool
) -> dict[str, Outcome]:
    """Map scenes on the cluster, if there are any, and return how each ended."""
    outcomes: dict[str, Outcome] = {}
    if scenes:
        with ManyProgress(len(scenes) + kept, kept, enabled=show_progress) as progress:
            for scene, outcome in map_scenes(scenes, run, config):
                for sentence in outcome.warnings:
                    _LOG.warning("%s: %s", scene.id, sentence)
                outcomes[scene.id] = outcome
                progress.advance(outcome)
    return outcomes
