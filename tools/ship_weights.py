"""Put the best checkpoint of a run among the shipped weights: python tools/ship_weights.py RUN NAME.

Writes ``model.safetensors`` and ``config.json`` below ``src/floodseg/release/weights/NAME``; the model card ``CARD.md``
beside them is written by hand.
"""

from pathlib import Path

from cyclopts import App

from floodseg import load_model
from floodseg.app.cli import guarded
from floodseg.models.checkpoint import save_folder
from floodseg.release.shipped import WEIGHTS

app = App(help="Put the best checkpoint of a run among the shipped weights.")


@app.default
def ship(run: Path, name: str, *, data: str, licence: str = "Apache-2.0") -> None:
    """Copy the weights of ``run`` under ``name``, with the training data and the licence in their description.

    Parameters
    ----------
    run
        Run folder or checkpoint.
    name
        The name under which the model is shipped.
    data
        What it was trained on, with the terms of that data.
    licence
        Licence of the weights.
    """
    model = load_model(run)
    model.provenance.training.update(data=data, licence=licence)
    save_folder(WEIGHTS / name, model)
    print(WEIGHTS / name)


if __name__ == "__main__":
    guarded(app)
