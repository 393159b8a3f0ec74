"""Add the best checkpoint of a run to the shipped weights, with its exported files.

    python tools/release/ship_weights.py RUN NAME --data "what it was trained on" --chips DIR --context-prior 0.4

``tools/release/weights.mk`` runs it after the trainings of a shipped model.
Writes ``model.safetensors``, ``config.json`` and the exported files below ``src/floodseg/models/weights/NAME``. The
text of the model card ``CARD.md`` beside them is written by hand, its metadata and ``item.json`` by
``tools/release/describe_models.py``.
"""

from pathlib import Path
from typing import Any

from cyclopts import App

from floodseg import export, load_model
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.loader import make_loader
from floodseg.config.base import Layout
from floodseg.config.data import DataConfig
from floodseg.datasets.screening import open_usable
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import restrict_to_method
from floodseg.evaluation.methods import model_method
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.checkpoint.description import read_description, write_description
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.model import FloodModel
from floodseg.runtimes.select import exported_file_name
from floodseg.training.records import validation_scores
from floodseg.training.validation import calibrate

FORMATS: tuple[tuple[ExportFormat, ExportPrecision], ...] = (
    ("openvino", "int8"), ("openvino", "fp32"), ("openvino", "bf16"), ("onnx", "int8"), ("onnx", "fp32"),
)  # fmt: skip
"""Exported files of each shipped model. OpenVINO in fp32 is for processors without bf16, if int8 is refused."""
MAX_MB = 30.0
"""Largest size of all shipped weights together."""

app = App(help="Add the best checkpoint of a run to the shipped weights, with its exported files.")


@app.default
def ship(
    run: Path,
    name: str,
    *,
    chips: Path,
    data: str | None = None,
    layout: Layout = "sen1floods11",
    split: str = "valid",
    licence: str = "Apache-2.0",
    context_prior: float | None = None,
) -> None:
    """Copy the weights of ``run`` under ``name``, and export it in each precision that passes its parity check.

    Parameters
    ----------
    run
        Run folder or checkpoint.
    name
        Name of the shipped model.
    chips
        Folder of chips for calibration and comparison of the exported files.
    data
        Training data and their terms of use; by default the text of the shipped model of this name.
    layout
        Layout of the chips.
    split
        Split of the chips; not a test split.
    licence
        Licence of the weights.
    context_prior
        Strength of the context prior, instead of the run's; temperature and threshold are then recalibrated.
    """
    model = load_model(run)
    if context_prior is not None:
        _recalibrate(model.set_context_prior(context_prior), DataConfig(data=chips, layout=layout), split)
    folder = WEIGHTS / name
    training = model.provenance.training
    training.update(data=data or read_description(folder)["training"]["data"], licence=licence)
    # folders of this machine mean nothing to others
    training["encoder_weights"] = Path(str(training["encoder_weights"])).name
    for kind in ("teachers", "specialists"):
        training[kind] = [_without_folders(each) for each in training.get(kind, [])]
    if training.get("started_from"):
        training["started_from"] = _without_folders(training["started_from"])
    for previous in [*folder.glob("onnx-*"), *folder.glob("openvino-*")]:
        previous.unlink()
    save_folder(folder, model)
    parity: dict[str, Any] = {}
    for format, precision in FORMATS:
        if (format, precision) == ("openvino", "fp32") and "openvino-int8" in parity:
            continue
        path = folder / exported_file_name(format, precision)
        try:
            parity[path.stem] = export(
                model, format=format, precision=precision, out=path, data=chips, layout=layout, split=split,
                show_progress=True,
            )  # fmt: skip
        except ConfigError as refusal:
            print(f"{path.name} is left out: {refusal}")
    write_description(folder, read_description(folder) | {"exported": parity})
    for file in sorted(folder.iterdir()):
        print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
    total = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) / 1e6
    print(f"all shipped weights: {total:.1f} MB")
    if total > MAX_MB:
        raise ConfigError(f"{WEIGHTS}: all shipped weights must stay below {MAX_MB:.0f} MB, and take {total:.1f} MB")


def _without_folders(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the lineage entry of a model without folders of this machine."""
    trained_on = {key: value for key, value in entry.get("trained_on", {}).items() if key != "data"}
    return {**entry, "model": Path(entry["model"]).name, "trained_on": trained_on}


def _recalibrate(model: FloodModel, config: DataConfig, split: str) -> None:
    """Recalibrate temperature and threshold, as at the end of a training."""
    chips = open_usable(restrict_to_method(model_method(model, "the model"), config, split), split).chips
    counts = calibrate(model, make_loader(chips, augment=None), Processes())
    model.provenance.scores = validation_scores(counts)


if __name__ == "__main__":
    run_and_exit(app)
