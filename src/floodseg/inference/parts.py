"""A huge scene in parts by rows of windows, mapped wherever, whose products are those of the whole to the bit.

::

    predict_rows ── part file ──┐
    predict_rows ── part file ──┼── predict_parts ── products
    ...                         ┘
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from floodseg.config.predict import PredictConfig
from floodseg.inference.part_file import PartReader, PartWriter
from floodseg.inference.pipeline import finish, opened_files, product_writer
from floodseg.inference.rows import map_rows
from floodseg.inference.windows.map_scene import plan_tiling
from floodseg.products.info import OneOfMany
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PlainMethod


def rows_of_windows(config: PredictConfig, runtime: Runtime | PlainMethod) -> tuple[int, int]:
    """Return how many rows of windows a scene has, and how many pixels."""
    with opened_files(config, runtime, "") as opened:
        grid = opened.scene.grid
        return plan_tiling(grid, opened.runtime, config.mapping).rows.count, grid.height * grid.width


def predict_rows(config: PredictConfig, runtime: Runtime | PlainMethod, rows: range, path: Path) -> None:
    """Map rows of windows of a scene into a part file.

    Args:
        config: the scene and how it is mapped; its ``out_dir`` is not touched.
        runtime: the model, ready to run, or a reference method, which looks at the whole scene for its threshold.
        rows: rows of windows, a range of step 1.
        path: of the part; it has this name only when it is whole.

    Raises:
        FloodsegError: input or settings that the user can mend.
        OSError: the part cannot be written.
    """
    began = time.monotonic()
    with opened_files(config, runtime, "") as opened, PartWriter(path) as part:
        mapped = map_rows(opened, part.write, rows=rows)
        part.finish(mapped, opened.scene.cells, time.monotonic() - began)


def predict_parts(
    config: PredictConfig,
    runtime: Runtime | PlainMethod,
    model: str,
    parts: Sequence[Path],
    *,
    many: OneOfMany | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the products of a scene whose rows were all mapped by :func:`predict_rows`; see ``predict_files``.

    Args:
        config: that of the parts.
        runtime: that of the parts.
        model: what the products call it.
        parts: part files, top to bottom.
        many: what is to be said of a scene that is one of many.
        overwrite: replace finished products.

    Raises:
        FloodsegError: a part that is damaged or missing, or what ``predict_files`` raises.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        readers = [stack.enter_context(PartReader(path)) for path in parts]
        opened = stack.enter_context(opened_files(config, runtime, model, many))
        writer = stack.enter_context(product_writer(opened, overwrite))
        for reader in readers:
            for strip in reader.strips():
                writer.write(strip)
            opened.scene.add_cells(*reader.cells())
        seconds = time.monotonic() - began + sum(reader.seconds for reader in readers)
        return finish(opened, writer, [reader.mapped for reader in readers], seconds)
