"""Calibration errors at the fitted temperature of ``spectral`` times several factors.

    python -m benchmarks.accuracy.temperature_factors --chips CHIPS --runs runs/domains --seeds 0 1 2 --json FILE

``RUNS`` are the runs of :mod:`benchmarks.accuracy.leave_one_domain_out`, each scored on the chips that were left out.
The shipped ``s2`` is scored on its validation chips of dfc24. The stored temperature of ``spectral`` is
``TEMPERATURE_FACTOR`` times the fitted one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import torch
from cyclopts import App, Parameter

from benchmarks.accuracy.leave_one_domain_out import BLOCK_SEEDS
from benchmarks.accuracy.optical_domains import BLOCK_SETS, DOMAINS
from benchmarks.report import report
from floodseg import load_model
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.loader import make_loader
from floodseg.config.data import DataConfig
from floodseg.datasets.screening import open_usable
from floodseg.evaluation.evaluate import restrict_to_method
from floodseg.evaluation.forward import forward
from floodseg.evaluation.methods import model_method
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.training.validation import TEMPERATURE_FACTOR

FACTORS = (1.0, 0.95, 0.92, 0.9, 0.8)
app = App(help="Calibration errors by factor of the temperature.", default_parameter=Parameter(consume_multiple=True))


@dataclass(frozen=True)
class _Scored:
    """Logit differences of a model on chips, and the fitted temperature of the model."""

    histogram: LogitDifferenceHistogram
    temperature: float

    def ece(self, factor: float) -> float:
        ece = self.histogram.reliability(factor * self.temperature).ece
        assert ece is not None, "the chips have labels"
        return ece


@app.default
def temperature_factors(
    *,
    chips: Path,
    runs: Path,
    seeds: tuple[int, ...],
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score runs and the shipped model; print one JSON object.

    Parameters
    ----------
    chips
        Folder that optical_domains wrote.
    runs
        Folder of the runs without a domain or a set of blocks.
    seeds
        Seeds of the runs.
    json_file
        Write the errors as one JSON object.
    """

    def left_out(name: str, seeds: Iterable[int]) -> list[_Scored]:
        return [_score(runs / f"without-{name}-{seed}", chips / name, "all") for seed in seeds]

    shipped = _score("s2", chips / "all", "valid", only="block")
    domains = {domain: left_out(domain, seeds) for domain in DOMAINS}
    blocks = {f"blocks-{number}": left_out(f"blocks-{number}", seeds[:BLOCK_SEEDS]) for number in range(BLOCK_SETS)}
    rows = []
    for factor in FACTORS:
        errors = {name: mean(each.ece(factor) for each in scored) for name, scored in (domains | blocks).items()}
        rows.append({
            "factor": factor, "valid_blocks_of_s2": shipped.ece(factor), **errors,
            "domains_left_out": mean(errors[name] for name in domains),
            "blocks_left_out": mean(errors[name] for name in blocks),
        })  # fmt: skip
    report({"seeds": list(seeds), "factors": rows}, json_file)


@torch.inference_mode()
def _score(name: str | Path, data: Path, split: str, *, only: str = "") -> _Scored:
    """Compute the logit differences of a model on the chips of a split whose names start with ``only``."""
    model = load_model(name)
    config = restrict_to_method(model_method(model, str(name)), DataConfig(data=data, layout="folders"), split)
    chips, histograms = open_usable(config, split).chips, SensorHistograms()
    for chip, batch in zip(chips.names, make_loader(chips, augment=None), strict=True):
        if chip.startswith(only):
            histograms.add(forward(model, batch), batch)
    return _Scored(histograms.total(), model.decisions.optical.temperature / TEMPERATURE_FACTOR)


if __name__ == "__main__":
    run_and_exit(app)
