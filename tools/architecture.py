"""Figure of the architecture, drawn from the import graph.

    python tools/architecture.py docs/pictures/architecture.svg

Rows are the layers of the import-linter contract in pyproject.toml, boxes are packages with their number of files and
lines, curves are imports; a thicker curve stands for more imports.
"""

import argparse
import tomllib
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "floodseg"
WIDTH, ROW, BOX, HEIGHT = 960, 86, 150, 44
FILL = "#e8f1f8"
STROKE = "#1f5f8b"


def layers() -> list[list[str]]:
    """Return the package names of each layer, top to bottom, without ``floodseg.``."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().removeprefix("floodseg.") for name in row.split("|")] for row in rows]


def imports(names: list[str]) -> Counter[tuple[str, str]]:
    """Return the number of importing modules for each pair (importing package, imported package)."""
    graph = grimp.build_graph("floodseg")
    home = {module: module.split(".")[1] for module in graph.modules if module.count(".")}
    return Counter(
        (home[module], home[target])
        for module in home
        for target in graph.find_modules_directly_imported_by(module)
        if target in home and home[module] != home[target] and {home[module], home[target]} <= set(names)
    )


def size(name: str) -> str:
    """Return the files and lines of a package or module as text."""
    path = SOURCE / name
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return f"{len(files)} files, {lines} lines" if path.is_dir() else f"{lines} lines"


def box(name: str, x: float, y: float) -> str:
    """Return a box with a name and a size, centred at (x, y)."""
    return (
        f'<rect x="{x - BOX / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{BOX}" height="{HEIGHT}" rx="5" fill="{FILL}" '
        f'stroke="{STROKE}"/><text x="{x:.0f}" y="{y - 3:.0f}" font-weight="bold">{escape(name)}</text>'
        f'<text x="{x:.0f}" y="{y + 14:.0f}" font-size="11">{size(name)}</text>'
    )


def line(start: tuple[float, float], end: tuple[float, float], count: int) -> str:
    """Return a curve from the lower side of one box to the upper side of another."""
    (x1, y1), (x2, y2) = start, end
    y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}" '
        f'stroke-width="{min(0.5 + count / 6, 4):.1f}"/>'
    )


def figure() -> str:
    """Return the figure as SVG."""
    rows = layers()
    positions = {
        name: (WIDTH * (column + 1) / (len(row) + 1), ROW * (number + 0.5))
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    curves = [
        line(positions[start], positions[end], count)
        for (start, end), count in sorted(imports(list(positions)).items())
    ]
    boxes = [box(name, *position) for name, position in positions.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(rows)}" font-family="sans-serif" '
            'font-size="14" text-anchor="middle">',
            "<title>Packages of floodseg: each imports only packages below it</title>",
            f'<rect width="{WIDTH}" height="{ROW * len(rows)}" fill="white"/>',
            '<g fill="none" stroke="#8aa9bd" stroke-opacity="0.55">',
            *curves,
            "</g>",
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the architecture as SVG.")
    parser.add_argument("file", type=Path, help="SVG file to write")
    parser.parse_args().file.write_text(figure(), encoding="utf-8")
