"""Tests of label values that are no class codes: refused, and recoded as the message says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_commands import commands_in, follow
from floodseg.errors import DataError
from floodseg.raster.dataset import open_raster
from floodseg.raster.labels import read_label
from scenes import write_raster

NAN = float("nan")
LOWEST = float(np.finfo(np.float64).min)


def codes(path: Path) -> list[int]:
    with open_raster(path) as source:
        found: list[int] = read_label(source)[0].tolist()
    return found


@pytest.mark.parametrize(
    ("values", "dtype", "nodata", "steps", "expected"),
    [
        ([0, 1, NAN, 255], "float32", NAN, {"nan": ""}, [0, 1, 255, 255]),
        ([0, 1, NAN, 1], "float64", LOWEST, {"nan": ""}, [0, 1, 255, 1]),
        ([0, 100, 100, 0], "uint8", None, {"100": "1"}, [0, 1, 1, 0]),
        ([0, 100, 255, 0], "uint8", 255, {"100": "1"}, [0, 1, 255, 0]),
        ([0, 1, -9999, 1], "int16", -9999, {"-9999": "-1"}, [0, 1, 255, 1]),
        ([2, 1, 3, 0], "int64", None, {"2": "0", "3.0": "-1"}, [0, 1, 255, 0]),
        ([100, 0, NAN, 1], "float32", NAN, {"100.0": "1", "nan": ""}, [1, 0, 255, 1]),
    ],
)
def test_other_label_values_are_recoded_as_the_message_says(
    tmp_path: Path, values: list[Any], dtype: str, nodata: float | None, steps: dict[str, str], expected: list[int]
) -> None:
    path = write_raster(tmp_path / "label.tif", np.array([[values]], dtype), nodata=nodata)
    for number, (value, code) in enumerate(steps.items()):
        with pytest.raises(DataError, match=f"holds the label value {value}, but labels are 0") as caught:
            codes(path)
        [command] = commands_in(str(caught.value))
        recoded = tmp_path / f"{number}.tif"
        follow(command.replace("CODE", code), FILE=path, OUT=recoded)
        path = recoded
    assert codes(path) == expected
