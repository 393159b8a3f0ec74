"""Command ``floodseg evaluate``."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.errors import ConfigError

_FLAT = Parameter(name="*")


def evaluate(
    model: str,
    *,
    config: Annotated[DataConfig, _FLAT] = DataConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    scoring: Annotated[ScoreConfig, _FLAT] = ScoreConfig(),  # noqa: B008 (frozen, too)
    split: str = "valid",
    reference: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    out_dir: Path | None = None,
) -> None:
    """Score a model on a data set, or a map against a reference.

    floodseg evaluate MODEL --data DIR --split SPLIT scores a model on all chips of a split and on each event, with
    classical baselines for comparison.

    floodseg evaluate FLOOD.tif --reference FILE scores the pixels of a finished map. No threshold is applied.

    Parameters
    ----------
    model
        Shipped model, run folder, checkpoint, or classical baseline: otsu (radar) or ndwi (optical). With --reference,
        the map to score: flood.tif or another raster with the codes 0 land, 1 flood, 2 permanent water, 3 excluded and
        255 nodata. Excluded and nodata pixels are not counted.
    reference
        Reference for a map: a label raster (0 land, 1 water, -1 or 255 ignored) or polygons of the flood (everything
        outside is land). A label raster on another grid is resampled by nearest neighbour. Permanent water in the
        map counts as water if the reference is a label raster, and is not scored if it is polygons. If the map has
        permanent water, the scores with the opposite treatment are printed, too.
    split
        Split of the data set: train, valid, test, bolivia, ..., depending on the layout.
    json_file
        Write the scores to this JSON file.
    out_dir
        Write the reliability diagram, pictures of the worst chips and a plot of the scores against cloud cover (with
        --cloud) to this folder.
    """
    import floodseg
    from floodseg.app.reports.evaluation import print_evaluation, print_map_evaluation
    from floodseg.distributed.launcher import connect_processes, disconnect_processes
    from floodseg.system.files import require_writable, write_text

    if reference is not None:
        _refuse_flags_without_effect(config, scoring, split, out_dir)
    processes = connect_processes()

    def require_outputs() -> None:
        if json_file is not None:
            require_writable(json_file, "json")
        if out_dir is not None:
            require_writable(out_dir, "out_dir", folder=True)

    processes.run_on_main(require_outputs)
    if reference is not None:
        scored = floodseg.evaluate(model, reference=reference)
        print_map_evaluation(scored)
        document = scored.document
    else:
        evaluation = floodseg.evaluate(
            model, split=split, config=config, scoring=scoring, out_dir=out_dir, show_progress=True
        )
        disconnect_processes()
        if not processes.is_main:
            return
        print_evaluation(evaluation)
        document = {**evaluation.document, "references": evaluation.references}
    if json_file is not None:
        write_text(json_file, json.dumps(document, indent=2) + "\n")


def _refuse_flags_without_effect(config: DataConfig, scoring: ScoreConfig, split: str, out_dir: Path | None) -> None:
    """Raise ConfigError for flags that have no effect with --reference."""
    changed = [
        name
        for settings in (config, scoring)
        for name, value in vars(settings).items()
        if value != getattr(type(settings)(), name)
    ]
    changed += ["split"] if split != "valid" else []
    changed += ["out_dir"] if out_dir is not None else []
    if changed:
        raise ConfigError(f"`{changed[0]}`: has no effect on a map with `reference`; leave it out")
