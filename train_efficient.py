"""Train the efficient flood segmentation model with the classic flags.

Examples:
python train_efficient.py --use_external_dataset --batch_size 4 --epochs 50
python train_efficient.py --use_external_dataset --encoder resnet18 --batch_size 8 --epochs 50 --lr 1e-3 --patience 10 \
    --out_dir runs_efficient_v1
"""

from floodseg.app.classic import app
from floodseg.app.exit_codes import run_and_exit
from floodseg.app.signals import ignore_signals

if __name__ == "__main__":
    try:
        run_and_exit(app)
    finally:
        ignore_signals()
