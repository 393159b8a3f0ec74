"""Command line of the classic training script."""

from dataclasses import replace
from pathlib import Path

from cyclopts import App

import floodseg
from floodseg.config.base import WholeNumber
from floodseg.errors import ConfigError

app = App(
    help="Train the efficient flood segmentation model; without --use_external_dataset on simulated chips.",
    exit_on_error=False,
    print_error=False,
    # as for the floodseg command: run_and_exit() says that the run was interrupted
    suppress_keyboard_interrupt=False,
)


_CLASSIC_FOLDERS = floodseg.DataConfig(
    data=Path(),
    layout="folders",
    sar_dir=Path("data/S1Hand"),
    opt_dir=Path("data/S2Hand"),
    mask_dir=Path("data/LabelHand"),
    val_split=0.2,
)


@app.default
def train_efficient(
    *,
    use_external_dataset: bool = False,
    encoder: str = "resnet34",
    batch_size: WholeNumber = 4,
    epochs: WholeNumber = 50,
    lr: float = 1e-3,
    patience: WholeNumber = 10,
    out_dir: Path = Path("runs_efficient"),
    sar_dir: Path = _CLASSIC_FOLDERS.sar_dir,
    opt_dir: Path = _CLASSIC_FOLDERS.opt_dir,
    mask_dir: Path = _CLASSIC_FOLDERS.mask_dir,
    val_split: float = _CLASSIC_FOLDERS.val_split,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Translate the classic flags and train.

    Parameters
    ----------
    use_external_dataset
        Train on the chips in --sar_dir, --opt_dir and --mask_dir, not on simulated ones.
    encoder
        resnet18, resnet34, resnet50, efficientnet_b0, efficientnet_b1 or any timm features_only encoder.
    batch_size
        Crops per step.
    epochs
        Passes over the training chips.
    lr
        Peak of the one-cycle learning rate.
    patience
        Epochs without a better validation water IoU after which training stops.
    out_dir
        Run folder.
    sar_dir
        Radar chips.
    opt_dir
        Optical chips; absent or empty means radar alone.
    mask_dir
        Label chips: 0 land, 1 water, -1 or 255 ignored.
    val_split
        Share of the chips kept for validation, whole events at a time.
    resume
        Go on with the run in --out_dir.
    overwrite
        Start anew in a folder that holds a run.
    """
    folders = replace(_CLASSIC_FOLDERS, sar_dir=sar_dir, opt_dir=opt_dir, mask_dir=mask_dir, val_split=val_split)
    if not use_external_dataset and folders != _CLASSIC_FOLDERS:
        raise ConfigError(
            "--sar_dir, --opt_dir, --mask_dir and --val_split mean nothing to simulated chips: "
            "add --use_external_dataset or leave them out"
        )
    config = floodseg.TrainConfig(
        out_dir=out_dir,
        data=folders if use_external_dataset else floodseg.DataConfig(layout="synthetic"),
        model=floodseg.ModelConfig(model="efficient", encoder=encoder),
        optim=floodseg.OptimConfig(batch_size=batch_size, epochs=epochs, lr=lr, patience=patience),
    )
    floodseg.train(config, resume=resume, overwrite=overwrite)
