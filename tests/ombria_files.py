"""Files of the OMBRIA release for tests."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (12, 10)


def write_png(path: Path, array: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


def write_set(root: Path, number: int, folder: str = "train", sensors: tuple[int, ...] = (1, 2)) -> None:
    """Write one set of images; each sensor, date and channel has its own values, which grow by 1 per row."""
    rows = np.arange(SIZE[0])[:, None] + np.zeros(SIZE[1])
    mask = np.zeros(SIZE)
    mask[:, :4] = 255
    for sensor in sensors:
        parent = root / f"OmbriaS{sensor}" / folder
        for offset, date in ((0, "before"), (100, "after")):
            grey = rows + 10 + offset
            image = grey if sensor == 1 else np.stack([grey + 20, grey + 40, grey + 60], axis=-1)
            write_png(parent / date.upper() / f"S{sensor}_{date}_{number:04d}.png", image)
        write_png(parent / "MASK" / f"S{sensor}_mask_{number:04d}.png", mask)
