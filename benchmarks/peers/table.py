"""Tables of the page on other tools, from the result of ``compare.py``.

    python -m benchmarks.peers.table benchmarks/results/peers.json --page docs/results/peers.md

replaces the part of the page between the marks ``<!-- figures -->`` and ``<!-- end of figures -->``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App

from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import DataError
from floodseg.system.files import write_text

app = App(help="Tables of the comparison with other tools.")
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

_HEADS = ("map by", "time, ratio", "seconds", "peak memory", "seams", "nodata mapped")


@app.default
def table(result: Path, *, page: Path | None = None) -> None:
    """Print the tables as Markdown, and write them into a page.

    Parameters
    ----------
    result
        JSON file of compare.py.
    page
        Page whose tables are replaced.
    """
    text = figures(json.loads(result.read_text(encoding="utf-8")))
    print(text)
    if page is not None:
        write_text(page, with_figures(page.read_text(encoding="utf-8"), text))


def with_figures(page: str, text: str) -> str:
    """Return the text of a page with other tables.

    Raises:
        DataError: the page lacks a mark.
    """
    if BEGIN not in page or END not in page:
        raise DataError(f"the page lacks the marks {BEGIN} and {END}; add them where the tables belong")
    return f"{page.partition(BEGIN)[0]}{BEGIN}\n\n{text}\n\n{END}{page.partition(END)[2]}"


def figures(result: dict[str, Any]) -> str:
    """Return the tables of a result: one of each scene, and one of files and lines."""
    tools = {tool["row"]: tool for tool in result["tools"]}
    parts = [_scene(scene, tools, result["rounds"]) for scene in result["scenes"]]
    return "\n\n".join([*parts, _files(result["scenes"][0]["rows"], tools)])


def _scene(scene: dict[str, Any], tools: dict[str, Any], rounds: int) -> str:
    rows = scene["rows"]
    reference = rows[0].get("seconds") if rows[0]["row"] == "floodseg" else None
    lines = [(tools[row["row"]]["description"], *_cells(row, reference)) for row in rows]
    title = f"**Scene `{scene['name']}`**, {scene['height']} x {scene['width']} pixels, median of {rounds} runs:"
    return f"{title}\n\n{_markdown(_HEADS, lines)}"


def _cells(row: dict[str, Any], reference: float | None) -> tuple[str, ...]:
    if "error" in row:
        return (f"not made: `{row['error']}`", *["-"] * (len(_HEADS) - 2))
    nodata = row["mapped_nodata"]
    return (
        "-" if reference is None else f"{row['seconds'] / reference:.2f}",
        f"{row['seconds']:.1f}",
        f"{row['peak_mb'] / 1024:.2f} GB",
        f"{100 * row['seams']:.3f} %",
        "-" if nodata is None else f"{100 * nodata:.0f} %",
    )


def _files(rows: Sequence[dict[str, Any]], tools: dict[str, Any]) -> str:
    lines = []
    for row in rows:
        tool = tools[row["row"]]
        files = "; ".join(_file(file) for file in row.get("files", ())) or "-"
        packages = ", ".join(f"{name} {version}" for name, version in tool.get("versions", {}).items())
        written = "internal functions" if tool["lines"] is None else str(tool["lines"])
        lines.append((tool["description"], written, files, packages or f"`{tool['error']}`"))
    return _markdown(("map by", "lines that the user writes", "files for QGIS", "versions"), lines)


def _file(file: dict[str, Any]) -> str:
    properties = ["in colours" if file["styled"] else "grey"]
    if file["kind"] == "raster":
        properties += [
            "values named" if file["named"] else "values without names",
            "nodata tagged" if file["nodata"] else "no nodata tag",
            "overviews" if file["overviews"] else "no overviews",
        ]
    else:
        properties.append("polygons")
    return f"`{file['name']}` ({', '.join(properties)})"


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines))


if __name__ == "__main__":
    run_and_exit(app)
