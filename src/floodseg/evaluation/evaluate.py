"""Scores over a split: one pass, counts summed over chips, ratios taken once at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rich.progress import track

from floodseg.bands import Bands, SensorSet, bands_fit
from floodseg.chips.chip import ChipSet
from floodseg.config.base import Layout
from floodseg.config.evaluate import ScoreConfig
from floodseg.config.train import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.datasets.screening import Usable, open_usable
from floodseg.distributed.join import OneProcess, join_processes
from floodseg.errors import ConfigError
from floodseg.evaluation.clouds import check_clouds, cloud_scores
from floodseg.evaluation.map_scores import RASTER_SUFFIXES, MapEvaluation, evaluate_map
from floodseg.evaluation.methods import ChipResult, Method, model_method, reference_method, shipped_method
from floodseg.evaluation.metrics.counts import ChipScore, Counts, score_chips, score_events
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.evaluation.references import REFERENCES
from floodseg.evaluation.studies import calibration_study, threshold_study
from floodseg.models.checkpoint.zoo import load_model, shipped_models
from floodseg.runtimes.select import exported_file_name

if TYPE_CHECKING:  # PyTorch is imported where it is used
    from floodseg.distributed.processes import Processes
    from floodseg.models.model import FloodModel

Document = dict[str, Any]
"""The scores of one method as JSON values; the fields are those of ``floodseg evaluate --json``."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a method on a split, and of the classical baselines beside it."""

    document: Document
    """model, split, sensors, n_chips, n_chips_left_out, left_out (reason by chip), n_chips_counted, n_pixels,
    threshold, water_iou, land_iou, miou, f1, precision, recall, accuracy, water_iou_per_chip_mean, water_iou_ci95, ece,
    events (the same for each event), calibration and thresholds (see ``decision_study``; None for methods without a
    probability), and clouds where they were asked for (see ``cloud_test.cloud_scores``)."""
    references: dict[str, Document]
    """The same for each classical baseline that the sensors in use allow."""
    chips: list[ChipScore]


@overload
def evaluate(model: str | Path, *, reference: str | Path) -> MapEvaluation: ...


@overload
def evaluate(
    model: "FloodModel | str | Path",
    *,
    split: str = ...,
    data: Path | str | None = ...,
    layout: Layout | None = ...,
    sensors: SensorSet | None = ...,
    config: DataConfig | None = ...,
    scoring: ScoreConfig | None = ...,
    name: str | None = ...,
    out_dir: Path | str | None = ...,
    show_progress: bool = ...,
) -> Evaluation: ...


def evaluate(
    model: "FloodModel | str | Path",
    *,
    reference: str | Path | None = None,
    split: str = "valid",
    data: Path | str | None = None,
    layout: Layout | None = None,
    sensors: SensorSet | None = None,
    config: DataConfig | None = None,
    scoring: ScoreConfig | None = None,
    name: str | None = None,
    out_dir: Path | str | None = None,
    show_progress: bool = False,
) -> Evaluation | MapEvaluation:
    """Score a model, or a classical baseline, on one split of a data set; or a map against a reference.

    The thresholds are those stored in the model, which were chosen on its validation split and are used unchanged,
    unless ``scoring`` gives another. A shipped model that is given by its name runs in OpenVINO, all others in PyTorch.
    Several processes (``torchrun``) share the chips; the scores are the same in each, and exactly those of one process
    alone.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, a loaded model, or ``otsu`` or ``ndwi``; with
            ``reference`` a map, ``flood.tif``.
        reference: label raster or polygons that the map is scored against (see
            ``floodseg.evaluation.map_scores.evaluate_map``); no other argument has a meaning then.
        split: the split to score.
        data: folder of the data set; overrides ``config``.
        layout: its layout; overrides ``config``.
        sensors: score with these sensors only; by default all that the model takes and the data set holds.
        config: further settings of how the data are read.
        scoring: another threshold, simulated clouds.
        name: what the scores call the model; by default the name or path that was given, or its architecture.
        out_dir: where to draw the reliability diagram, the worst chips and the curve over cloud cover; nowhere by
            default.
        show_progress: show a progress bar on a terminal; of several processes the main one does.

    Raises:
        ConfigError: a sensor or band that the model or the data set lacks, clouds over radar, or an argument without
            a meaning for a map.
        CheckpointError: there is no such model, or it cannot be read.
        DataError: a split that cannot be opened, or of which more than a few chips cannot be used; or a map or
            reference that cannot be compared.
    """
    if reference is not None:
        if not isinstance(model, str | Path):
            raise ConfigError("reference: is compared with a map; give the path of flood.tif in place of a model")
        settings = {"split": split != "valid", "data": data, "layout": layout, "sensors": sensors, "config": config,
                    "scoring": scoring, "out_dir": out_dir}  # fmt: skip
        without_effect = [key for key, given in settings.items() if given]
        if without_effect:
            raise ConfigError(f"{without_effect[0]}: has no effect on a map with a reference; leave it out")
        return evaluate_map(model, reference)
    scoring = scoring or ScoreConfig()
    config = config or DataConfig()
    config = replace(
        config,
        data=Path(data) if data else config.data,
        layout=layout or config.layout,
        sensors=sensors or config.sensors,
    )
    processes = join_processes()
    with processes.reporting_losses():
        make = cache(partial(_method, model, name, scoring.threshold))
        usable = processes.from_main(lambda: _checked_split(make(), config, split, scoring))
        title = f"scoring {split}" if show_progress else None
        method, chips = make(), usable.chips
        methods = [method, *_references_beside(method, chips.bands)]
        histograms = _EventHistograms(chips)
        scores = _scores(methods, chips, processes, title, histograms)
        for each in methods:
            scores[each.name].extend(ChipScore(chip.name, chip.event, Counts()) for chip in usable.left_out)
        documents = {each.name: _document(each, usable, scores[each.name]) for each in methods}
        documents[method.name].update(histograms.studies(method, processes))
        if scoring.cloud:
            documents[method.name]["clouds"] = cloud_scores(
                method, chips, scoring, processes, title and f"{title} under clouds"
            )
        evaluation = Evaluation(documents.pop(method.name), documents, scores[method.name])
        if out_dir is not None and processes.main:
            from floodseg.evaluation.pictures import draw_pictures

            draw_pictures(method, evaluation, chips, Path(out_dir))
        return evaluation


def _checked_split(method: Method, config: DataConfig, split: str, scoring: ScoreConfig) -> Usable:
    """Return the chips of a split that a method is scored on, each of which is read once."""
    usable = open_usable(for_method(method, config, split), split)
    if scoring.cloud:
        check_clouds(method, usable.chips.bands, scoring)
    return usable


class _EventHistograms:
    """Histograms of the logit difference by event, of the chips that one process scores."""

    def __init__(self, chips: ChipSet) -> None:
        self._by_event = {event: SensorHistograms() for event in sorted(set(chips.events))}

    def take(self, result: ChipResult) -> None:
        if result.add_differences is not None:
            result.add_differences(self._by_event[result.score.event])

    def studies(self, method: Method, processes: "OneProcess | Processes") -> Document:
        """Return the fields ``calibration`` and ``thresholds``, over the chips of all processes."""
        if method.decisions is None:
            return {}
        parts = processes.gather([self._by_event], processes.count)
        by_event = {event: reduce(add, (part[event] for part in parts), SensorHistograms()) for event in self._by_event}
        total = reduce(add, by_event.values(), SensorHistograms())
        return {
            "calibration": calibration_study(by_event, method.decisions),
            "thresholds": threshold_study(total, method.decisions),
        }


def _scores(
    methods: Sequence[Method],
    chips: ChipSet,
    processes: "OneProcess | Processes",
    title: str | None,
    histograms: _EventHistograms,
) -> dict[str, list[ChipScore]]:
    """Return the score of every chip by every method, in the order of the set; the processes share the chips."""
    mine: list[list[ChipScore]] = []
    show = title is not None and processes.main
    for index in track(processes.share(len(chips.names)), title or "", transient=True, disable=not show):
        chip = chips.read(index)
        results = [each.apply(chip, chips.bands) for each in methods]
        histograms.take(results[0])
        mine.append([result.score for result in results])
    rows = processes.gather(mine, len(chips.names))
    return {each.name: [row[position] for row in rows] for position, each in enumerate(methods)}


def _method(model: "FloodModel | str | Path", name: str | None, threshold: float | None) -> Method:
    if not isinstance(model, str | Path):
        return model_method(model, name or model.spec.architecture, threshold)
    path = Path(model)
    if str(model) in REFERENCES:
        if threshold is not None:
            raise ConfigError(
                f"`threshold={threshold}`: is one of the water probability, and '{model}' gives none; leave it out"
            )
        return reference_method(REFERENCES[str(model)])
    folder = {shipped.name: shipped.folder for shipped in shipped_models()}.get(str(model))
    if folder is not None and (folder / exported_file_name("onnx", "fp32")).is_file():
        return shipped_method(folder, name or str(model), threshold)
    if path.suffix.lower() in RASTER_SUFFIXES and path.is_file():
        raise ConfigError(
            f"{path}: is a raster; a map is scored against a reference: give `reference` with a label raster or "
            "polygons, or give a model"
        )
    return model_method(load_model(model), name or str(model), threshold)


def for_method(method: Method, config: DataConfig, split: str) -> DataConfig:
    """Narrow the sensors and bands that are read to those that the method takes, in its order.

    Raises:
        ConfigError: a sensor was asked for that the method does not take, the data set has none that it takes, or other
            optical bands were asked for than it takes.
    """
    asked = config.sensors
    if asked is not None and method.sensors not in ("both", asked):
        raise ConfigError(
            f"`sensors={asked}`: '{method.name}' takes {method.sensors} images alone; leave it out or choose a "
            f"model for {'both sensors' if asked == 'both' else asked}"
        )
    held = open_layout(replace(config, optical_bands=()), split).bands
    if method.sensors != "both" and not (held.sar if method.sensors == "sar" else held.optical):
        raise ConfigError(f"'{method.name}' takes {method.sensors} images, and the data set holds none; choose another")
    narrowed = replace(config, sensors=asked if method.sensors == "both" else method.sensors)
    if method.bands is None:
        return narrowed
    _check_kind(method.name, method.bands, held, narrowed.sensors)
    taken = method.bands.optical
    if not taken or not held.optical or narrowed.sensors == "sar":
        return narrowed
    if config.optical_bands and config.optical_bands != taken:
        raise ConfigError(
            f"`optical_bands={' '.join(config.optical_bands)}`: '{method.name}' takes {' '.join(taken)}; leave it out"
        )
    return replace(narrowed, optical_bands=taken)


def _check_kind(name: str, taken: Bands, held: Bands, sensors: SensorSet | None) -> None:
    """Raise ConfigError where the numbers at hand are not of the kind that a model takes."""
    for sensor in taken.sensors:
        if sensor not in held.sensors or sensors not in (None, "both", sensor):
            continue
        # optical bands are selected by name when the chips are opened, SAR bands are read in order
        if not bands_fit(taken, held, sensor, exact=sensor == "sar"):
            raise ConfigError(
                f"'{name}' takes {sensor} images of {taken.only(sensor)}, and the data set holds {held.only(sensor)}; "
                "choose a model that was trained on such data"
            )


def _references_beside(method: Method, bands: Bands) -> list[Method]:
    """Return the classical baselines that the bands in use allow; beside a baseline there are none."""
    if method.name in REFERENCES:
        return []
    fitting = (each for each in REFERENCES.values() if bands_fit(each.bands, bands, each.bands.sensors[0]))
    return [reference_method(each) for each in fitting]


def _document(method: Method, usable: Usable, scores: Sequence[ChipScore]) -> Document:
    bands = usable.chips.bands
    held: SensorSet = "both" if bands.sar and bands.optical else "sar" if bands.sar else "optical"
    used = held if method.sensors == "both" else method.sensors
    return {
        "model": method.name,
        "split": usable.split,
        "sensors": used,
        "threshold": method.threshold(used),
        "n_chips_left_out": len(usable.left_out),
        "left_out": {chip.name: chip.reason for chip in usable.left_out},
        **score_chips(scores),
        "events": score_events(scores),
        "calibration": None,
        "thresholds": None,
    }
