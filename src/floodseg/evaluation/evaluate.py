"""Scores of a model or classical baseline on a split: counts summed over all chips, then ratios."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rich.progress import track

from floodseg.bands import Bands, SensorSet, bands_fit, source_bands
from floodseg.config.base import Layout
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.datasets.layouts import open_layout
from floodseg.datasets.screening import UsableChips, open_usable
from floodseg.distributed.launcher import SingleProcess, connect_processes
from floodseg.errors import ConfigError
from floodseg.evaluation.baselines import BASELINES
from floodseg.evaluation.clouds import check_clouds, cloud_scores
from floodseg.evaluation.map_scores import RASTER_SUFFIXES, MapEvaluation, evaluate_map
from floodseg.evaluation.methods import Method, baseline_method, model_method, shipped_method
from floodseg.evaluation.metrics.counts import ChipScore, Counts, score_chips, score_events
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.evaluation.studies import calibration_study, threshold_study
from floodseg.messages import SENSOR_NAMES
from floodseg.models.checkpoint.zoo import load_model, shipped_models
from floodseg.runtimes.select import exported_file_name

if TYPE_CHECKING:  # shipped models run without PyTorch
    from floodseg.distributed.processes import Processes
    from floodseg.models.multi_sensor import AnyModel

Document = dict[str, Any]
"""Scores of one method as JSON values, with the fields of ``floodseg evaluate --json``."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a method and of the classical baselines on a split."""

    document: Document
    """model, split, sensors, n_chips, n_chips_left_out, left_out (reason by chip), n_chips_counted, n_pixels,
    threshold, water_iou, land_iou, miou, f1, precision, recall, accuracy, water_iou_per_chip_mean, water_iou_ci95, ece,
    events (the same for each event), calibration and thresholds (see :mod:`floodseg.evaluation.studies`; None for
    methods without a probability), and clouds if they were requested (see
    :func:`floodseg.evaluation.clouds.cloud_scores`)."""
    references: dict[str, Document]
    """Scores of each classical baseline that can use the bands, by name, with the fields of ``document``."""
    chips: list[ChipScore]
    """Score of the method on each chip."""


@overload
def evaluate(model: str | Path, *, reference: str | Path) -> MapEvaluation: ...


@overload
def evaluate(
    model: "AnyModel | str | Path",
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
    model: "AnyModel | str | Path",
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
    """Score a model or a classical baseline on one split of a data set, or a map against a reference.

    The thresholds are those stored in the model, which were chosen on its validation split, unless ``scoring`` sets
    another. A shipped model runs in OpenVINO if it is selected by name, all other models in PyTorch. Several processes
    (``torchrun``) share the chips; each process returns the scores of all chips, as a single process does.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, a loaded model, or ``otsu`` or ``ndwi``; with
            ``reference`` a map, ``flood.tif``.
        reference: label raster or polygons that the map is scored against (see
            :func:`floodseg.evaluation.map_scores.evaluate_map`); all other arguments must then be left out.
        split: the split to score.
        data: folder of the data set; overrides ``config``.
        layout: its layout; overrides ``config``.
        sensors: score with these sensors only; by default with all that the model takes and the data set holds.
        config: further settings of the data set.
        scoring: threshold and simulated clouds.
        name: name of the model in the scores; by default its name, path or architecture.
        out_dir: folder for the reliability diagram, pictures of the worst chips and a plot of the scores against cloud
            cover.
        show_progress: show a progress bar in the main process.

    Returns:
        The scores, which are ratios from 0 to 1. ``document`` has them as JSON values.

    Raises:
        ConfigError: the model or the data set lacks a sensor or band, simulated clouds are set but no optical image is
            scored, or an argument has no effect on a map.
        CheckpointError: the model does not exist or cannot be read.
        DataError: a split cannot be opened, or has too many unusable chips, or map and reference cannot be
            compared.

    Example:
        >>> scores = floodseg.evaluate("s1-lite", data="chips", layout="folders", sensors="sar").document
        >>> 0 <= scores["water_iou"] <= 1
        True
    """
    if reference is not None:
        if not isinstance(model, str | Path):
            raise ConfigError("`reference`: needs a map; set `model` to the path of flood.tif")
        settings = {"split": split != "valid", "data": data, "layout": layout, "sensors": sensors, "config": config,
                    "scoring": scoring, "name": name, "out_dir": out_dir}  # fmt: skip
        without_effect = [key for key, is_set in settings.items() if is_set]
        if without_effect:
            raise ConfigError(f"`{without_effect[0]}`: has no effect on a map with a reference; leave it out")
        return evaluate_map(model, reference)
    scoring = scoring or ScoreConfig()
    config = config or DataConfig()
    config = replace(
        config,
        data=Path(data) if data else config.data,
        layout=layout or config.layout,
        sensors=sensors or config.sensors,
    )
    title = f"scoring {split}" if show_progress else None
    return _evaluate_split(model, split, config, scoring, name=name, out_dir=out_dir, title=title)


def _evaluate_split(
    model: "AnyModel | str | Path",
    split: str,
    config: DataConfig,
    scoring: ScoreConfig,
    *,
    name: str | None,
    out_dir: Path | str | None,
    title: str | None,
) -> Evaluation:
    """Score a method on a split; ``title`` is that of the progress bar, None for no bar."""
    processes = connect_processes()
    with processes.reporting_lost_processes():
        open_method = cache(partial(_method, model, name, scoring.threshold))
        usable = processes.run_on_main(lambda: _checked_split(open_method(), config, split, scoring))
        method, chips = open_method(), usable.chips
        evaluation = _evaluate_chips(method, usable, processes, title)
        if scoring.cloud:
            evaluation.document["clouds"] = cloud_scores(
                method, chips, scoring, processes, title and f"{title} under clouds"
            )
        if out_dir is not None and processes.is_main:
            from floodseg.evaluation.pictures import draw_pictures

            draw_pictures(method, evaluation, chips, Path(out_dir))
        return evaluation


def _checked_split(method: Method, config: DataConfig, split: str, scoring: ScoreConfig) -> UsableChips:
    """Return the usable chips of a split for a method, after reading each chip once."""
    usable = open_usable(restrict_to_method(method, config, split), split)
    if scoring.cloud:
        check_clouds(method, usable.chips.bands, scoring)
    return usable


def _evaluate_chips(
    method: Method, usable: UsableChips, processes: "SingleProcess | Processes", title: str | None
) -> Evaluation:
    """Score a method and the classical baselines on the chips of a split; the processes share the chips."""
    chips = usable.chips
    methods = [method, *_baselines_for(method, chips.bands)]
    # results of the chips that this process scores
    own_scores: list[list[ChipScore]] = []
    own_histograms = {event: SensorHistograms() for event in sorted(set(chips.events))}
    show = title is not None and processes.is_main
    for index in track(processes.share(len(chips.names)), title or "", transient=True, disable=not show):
        chip = chips.read(index)
        results = [each.apply(chip, chips.bands) for each in methods]
        differences, deciding = results[0].logit_differences, results[0].deciding
        if differences is not None and deciding is not None:
            own_histograms[chip.event].add_differences(differences, chip.label, deciding)
        own_scores.append([result.score for result in results])
    by_chip = processes.gather(own_scores, len(chips.names))
    left_out = [ChipScore(chip.name, chip.event, Counts()) for chip in usable.left_out]
    scores = {each.name: [row[k] for row in by_chip] + left_out for k, each in enumerate(methods)}
    documents = {each.name: _document(each, usable, scores[each.name]) for each in methods}
    document = documents.pop(method.name)
    if method.decisions is not None:
        parts = processes.gather_one(own_histograms)
        by_event = {event: reduce(add, (part[event] for part in parts)) for event in own_histograms}
        document["calibration"] = calibration_study(by_event, method.decisions)
        document["thresholds"] = threshold_study(reduce(add, by_event.values(), SensorHistograms()), method.decisions)
    return Evaluation(document, documents, scores[method.name])


def _method(model: "AnyModel | str | Path", name: str | None, threshold: float | None) -> Method:
    if not isinstance(model, str | Path):
        return model_method(model, name or model.spec.architecture, threshold)
    path = Path(model)
    if str(model) in BASELINES:
        if threshold is not None:
            raise ConfigError(
                f"`threshold={threshold}`: needs a water probability, but '{model}' returns none; leave it out"
            )
        return baseline_method(BASELINES[str(model)])
    shipped = {each.name: each for each in shipped_models()}.get(str(model))
    if shipped is not None and (shipped.parts or (shipped.folder / exported_file_name("onnx", "fp32")).is_file()):
        return shipped_method(shipped, name or str(model), threshold)
    if path.suffix.lower() in RASTER_SUFFIXES and path.is_file():
        raise ConfigError(
            f"{path}: is a raster, not a model; to score it as a map, set `reference` to a label raster or polygons"
        )
    return model_method(load_model(model), name or str(model), threshold)


def restrict_to_method(method: Method, config: DataConfig, split: str) -> DataConfig:
    """Return the settings with sensors and bands restricted to those of the method, in its order.

    Raises:
        ConfigError: the settings name a sensor or optical bands that the method does not take, or the data set has none
            of its sensors.
    """
    sensors = config.sensors
    if sensors is not None and method.sensors not in ("both", sensors):
        raise ConfigError(
            f"`sensors={sensors}`: '{method.name}' takes only {SENSOR_NAMES[method.sensors]} images; leave it out or "
            f"choose a model for {SENSOR_NAMES[sensors]} images"
        )
    available = open_layout(replace(config, optical_bands=()), split).bands
    if method.sensors != "both" and not (available.sar if method.sensors == "sar" else available.optical):
        raise ConfigError(
            f"'{method.name}' takes {SENSOR_NAMES[method.sensors]} images, but the data set holds none; choose another "
            "model or data set"
        )
    restricted = replace(config, sensors=sensors if method.sensors == "both" else method.sensors)
    if method.bands is None:
        return restricted
    _check_bands(method.name, method.bands, available, restricted.sensors)
    optical_bands = method.bands.optical
    if not optical_bands or not available.optical or restricted.sensors == "sar":
        return restricted
    if config.optical_bands and config.optical_bands != optical_bands:
        raise ConfigError(
            f"`optical_bands={' '.join(config.optical_bands)}`: '{method.name}' takes {' '.join(optical_bands)}; "
            "leave it out"
        )
    return replace(restricted, optical_bands=optical_bands)


def _check_bands(name: str, needed: Bands, available: Bands, sensors: SensorSet | None) -> None:
    """Raise ConfigError if the bands or units of a data set differ from those of a model."""
    for sensor in needed.sensors:
        if sensor not in available.sensors or sensors not in (None, "both", sensor):
            continue
        # optical bands are selected by name when the chips are opened, radar bands are read in order
        named = available
        if sensor == "optical":
            named = replace(available, optical=tuple(source_bands(needed.optical, available.optical)))
        if not bands_fit(needed, named, sensor, exact=sensor == "sar"):
            raise ConfigError(
                f"'{name}' takes {SENSOR_NAMES[sensor]} images of {needed.only(sensor)}, but the data set holds "
                f"{available.only(sensor)}; choose a model that takes the bands of the data set"
            )


def _baselines_for(method: Method, bands: Bands) -> list[Method]:
    """Return the classical baselines that the bands allow; none if the method itself is a baseline."""
    if method.name in BASELINES:
        return []
    return [baseline_method(each) for each in BASELINES.values() if bands_fit(each.bands, bands, each.sensors)]


def _document(method: Method, usable: UsableChips, scores: Sequence[ChipScore]) -> Document:
    """Return the scores of a method. ``calibration`` and ``thresholds`` are None; the caller may set them."""
    sensors = usable.chips.bands.sensor_set if method.sensors == "both" else method.sensors
    return {
        "model": method.name,
        "split": usable.split,
        "sensors": sensors,
        "threshold": method.threshold(sensors),
        "n_chips_left_out": len(usable.left_out),
        "left_out": {chip.name: chip.reason for chip in usable.left_out},
        **score_chips(scores),
        "events": score_events(scores),
        "calibration": None,
        "thresholds": None,
    }
