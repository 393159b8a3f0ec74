"""Train the efficient flood segmentation model with the classic flags.

python train_efficient.py --use_external_dataset --batch_size 4 --epochs 50
python train_efficient.py --use_external_dataset --encoder resnet18 --batch_size 8 --epochs 50 --lr 1e-3 --patience 10 \
    --out_dir runs_efficient_v1
"""

from pathlib import Path

from cyclopts import App

import floodseg
from floodseg.app.cli import guarded

app = App(help="Train the efficient flood segmentation model; without --use_external_dataset on simulated chips.")


@app.default
def train_efficient(
    *,
    use_external_dataset: bool = False,
    encoder: str = "resnet34",
    batch_size: int = 4,
    epochs: int = 50,
    lr: float = 1e-3,
    patience: int = 10,
    out_dir: Path = Path("runs_efficient"),
    sar_dir: Path = Path("data/S1Hand"),
    opt_dir: Path = Path("data/S2Hand"),
    mask_dir: Path = Path("data/LabelHand"),
    val_split: float = 0.2,
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
    if use_external_dataset:
        data = floodseg.DataConfig(
            data=Path(), layout="folders", sar_dir=sar_dir, opt_dir=opt_dir, mask_dir=mask_dir, val_split=val_split
        )
    else:
        data = floodseg.DataConfig(layout="synthetic")
    config = floodseg.TrainConfig(
        out_dir=out_dir,
        data=data,
        model=floodseg.ModelConfig(model="efficient", encoder=encoder),
        optim=floodseg.OptimConfig(batch_size=batch_size, epochs=epochs, lr=lr, patience=patience),
    )
    floodseg.train(config, resume=resume, overwrite=overwrite)


if __name__ == "__main__":
    guarded(app)
