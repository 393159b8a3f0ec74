"""Figure of the networks `lite`, `efficient` and `spectral`, and of the fusion in `s1s2`.

    python tools/model_figure.py docs/pictures/models.svg

Each row is the path of an image through a network, from left to right. Numbers are strides and channels.
"""

import argparse
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, ROW, LEFT, BOX, HEIGHT, GAP = 1010, 132, 20, 150, 52, 42
COLOURS = {"input": "#f2efe4", "layer": "#e8f1f8", "output": "#fbe3d6"}
STROKE = "#1f5f8b"

Box = tuple[str, str, str]
"""Kind, first line and second line."""

ROWS: dict[str, list[list[Box]]] = {
    "lite": [
        [("input", "radar, optical", "dB, reflectance")],
        [("layer", "3x3 convolution", "each sensor, stride 2")],
        [("layer", "weighted mean", "sensor gate, validity")],
        [("layer", "U-Net", "strides 2 to 32, attention")],
        [("output", "logits", "four pixels per cell")],
    ],
    "efficient": [
        [("input", "radar, optical", "dB, reflectance")],
        [("layer", "1x1 adaptation", "each sensor, sensor gate")],
        [("layer", "timm encoder", "strides 2 to 16")],
        [("layer", "CNN branch", "skip connections"), ("layer", "transformer branch", "at stride 16")],
        [("output", "logits", "sum, refined at stride 1")],
    ],
    "spectral": [
        [("input", "optical, six bands", "reflectance")],
        [("layer", "water indices", "NDWI and eight more")],
        [("layer", "dilated convolutions", "15 pixels to each side")],
        [("output", "logits", "NDWI plus correction")],
    ],
    "s1s2": [
        [("input", "radar", "dB"), ("input", "optical, six bands", "reflectance")],
        [("layer", "s1-efficient", "calibrated log-odds"), ("layer", "s2 (spectral)", "calibrated log-odds")],
        [("layer", "sum less the prior", "where both are valid")],
        [("output", "water probability", "else of the valid sensor")],
    ],
}


def box(item: Box, x: float, y: float) -> str:
    """Return a box with two lines of text, whose left edge is at x and whose middle is at y."""
    kind, first, second = item
    middle = x + BOX / 2
    return (
        f'<rect x="{x:.0f}" y="{y - HEIGHT / 2:.0f}" width="{BOX}" height="{HEIGHT}" rx="5" fill="{COLOURS[kind]}" '
        f'stroke="{STROKE}"/><text x="{middle:.0f}" y="{y - 5:.0f}" font-weight="bold">{escape(first)}</text>'
        f'<text x="{middle:.0f}" y="{y + 14:.0f}" font-size="11">{escape(second)}</text>'
    )


def heights(count: int, y: float) -> list[float]:
    """Return the middle of each of ``count`` boxes above each other around y."""
    return [y + (number - (count - 1) / 2) * (HEIGHT + 8) for number in range(count)]


def arrows(before: int, after: int, x: float, y: float) -> str:
    """Return arrows from boxes that end at x to those of the next column. Equal numbers are joined one to one."""
    starts, ends = heights(before, y), heights(after, y)
    pairs = zip(starts, ends, strict=True) if before == after else ((a, b) for a in starts for b in ends)
    return "".join(
        f'<path d="M{x:.0f} {start:.0f} L{x + GAP - 4:.0f} {end:.0f}" fill="none" stroke="{STROKE}" '
        'marker-end="url(#arrow)"/>'
        for start, end in pairs
    )


def row(name: str, columns: list[list[Box]], y: float) -> str:
    """Return the name of a network and its boxes and arrows."""
    parts = [f'<text x="{LEFT}" y="{y - HEIGHT - 12:.0f}" style="text-anchor:start" font-size="15">{name}</text>']
    for number, items in enumerate(columns):
        x = LEFT + number * (BOX + GAP)
        parts += [box(item, x, middle) for item, middle in zip(items, heights(len(items), y), strict=True)]
        if number + 1 < len(columns):
            parts.append(arrows(len(items), len(columns[number + 1]), x + BOX, y))
    return "".join(parts)


def figure() -> str:
    """Return the figure as SVG."""
    height = ROW * len(ROWS) + 30
    rows = "".join(row(name, columns, 80 + number * ROW) for number, (name, columns) in enumerate(ROWS.items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13" text-anchor="middle"><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" '
        f'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="{STROKE}"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{rows}</svg>\n'
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.parse_args().file.write_text(figure(), encoding="utf-8")
