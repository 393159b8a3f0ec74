"""``floodseg.train``: the training loop, with teachers by any name that a model has."""

from floodseg.config.train import TrainConfig
from floodseg.models.checkpoint.zoo import load_model
from floodseg.training import train as loop
from floodseg.training.train import TrainResult


def train(
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False, show_progress: bool = True
) -> TrainResult:
    """Train a model and leave a run folder (see :mod:`floodseg.training.run_folder`).

    Args:
        config: the settings, as in a run file or on the command line.
        resume: go on with the run in ``config.out_dir`` from the end of its last complete epoch.
        overwrite: start anew in a folder that holds a run.
        show_progress: show a live bar on a terminal, plain lines elsewhere.

    Raises:
        FloodsegError: settings, data or a folder that the user can mend.
    """
    return loop.train(config, resume=resume, overwrite=overwrite, show_progress=show_progress, find_model=load_model)
