"""Command line of the classic training script."""

from dataclasses import replace
from pathlib import Path

from cyclopts import App, Parameter

import floodseg
from floodseg.config.base import Integer
from floodseg.errors import ConfigError

app = App(
    help="Train the flood segmentation model 'efficient', by default on simulated chips.",
    # the help shows the flags as users of the script type them: --sar_dir
    default_parameter=Parameter(name_transform=str),
    # run_and_exit() reports errors and interruptions
    exit_on_error=False,
    print_error=False,
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
    batch_size: Integer = 4,
    epochs: Integer = 50,
    lr: float = 1e-3,
    patience: Integer = 10,
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
        Train on the chips in --sar_dir, --opt_dir and --mask_dir instead of simulated chips.
    encoder
        resnet18, resnet34, resnet50, efficientnet_b0, efficientnet_b1, or any timm encoder with features_only support.
    batch_size
        Crops per training step.
    epochs
        Passes over the training chips.
    lr
        Peak learning rate of the one-cycle schedule.
    patience
        Stop training after this number of epochs without a better water IoU on the validation split. 0 turns it off.
    out_dir
        Folder of the run.
    sar_dir
        Folder of the radar chips.
    opt_dir
        Folder of the optical chips. If it is missing or empty, only radar is used.
    mask_dir
        Folder of the labels: 0 land, 1 water, -1 or 255 ignored.
    val_split
        Share of the chips to use for validation. Chips of one event stay together.
    resume
        Continue the run in --out_dir.
    overwrite
        Replace the run in --out_dir with a new one.
    """
    folders = replace(_CLASSIC_FOLDERS, sar_dir=sar_dir, opt_dir=opt_dir, mask_dir=mask_dir, val_split=val_split)
    if not use_external_dataset and folders != _CLASSIC_FOLDERS:
        raise ConfigError(
            "--sar_dir, --opt_dir, --mask_dir and --val_split have no effect on simulated chips; add "
            "--use_external_dataset, or leave them out"
        )
    config = floodseg.TrainConfig(
        out_dir=out_dir,
        data=folders if use_external_dataset else floodseg.DataConfig(layout="synthetic"),
        model=floodseg.ModelConfig(model="efficient", encoder=encoder),
        optim=floodseg.OptimConfig(batch_size=batch_size, epochs=epochs, lr=lr, patience=patience),
    )
    floodseg.train(config, resume=resume, overwrite=overwrite)
