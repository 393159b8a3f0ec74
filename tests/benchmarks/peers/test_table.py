"""Tests of the page on other tools: its tables are those of the committed result."""

import json
from pathlib import Path

import pytest
from benchmarks.peers.table import BEGIN, END, figures, with_figures

from floodseg.errors import DataError

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "results" / "peers.md"
RESULT = ROOT / "benchmarks" / "results" / "peers.json"

EXAMPLE = {
    "rounds": 3,
    "tools": [
        {"row": "floodseg", "description": "floodseg", "lines": 1, "versions": {"floodseg": "0.1"}},
        {"row": "other", "description": "another tool", "lines": 20, "versions": {"other": "2.0"}},
        {"row": "absent", "description": "no tool", "lines": 9, "error": "No module named 'absent'"},
    ],
    "scenes": [
        {
            "name": "valley", "height": 64, "width": 32,
            "rows": [
                {"row": "floodseg", "seconds": 4.0, "peak_mb": 512, "seams": 0.0, "mapped_nodata": None, "files": []},
                {
                    "row": "other", "seconds": 10.0, "peak_mb": 2048, "seams": 0.01234, "mapped_nodata": 1.0,
                    "files": [{"name": "map.tif", "kind": "raster", "styled": False, "named": False, "nodata": True,
                               "overviews": False}, {"name": "a.gpkg: b", "kind": "polygons", "styled": True}],
                },
                {"row": "absent", "error": "No module named 'absent'"},
            ],
        }
    ],
}  # fmt: skip


def test_tables_show_ratios_measures_and_errors():
    text = figures(EXAMPLE)
    assert "| floodseg | 1.00 | 4.0 | 0.50 GB | 0.000 % | - |" in text
    assert "| another tool | 2.50 | 10.0 | 2.00 GB | 1.234 % | 100 % |" in text
    assert "| no tool | not made: `No module named 'absent'` | - | - | - | - |" in text
    assert (
        "| another tool | 20 | `map.tif` (grey, values without names, nodata tagged, no overviews); "
        "`a.gpkg: b` (in colours, polygons) | other 2.0 |"
    ) in text


def test_tables_replace_those_of_a_page():
    page = f"Before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n"
    assert with_figures(page, "new") == f"Before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    with pytest.raises(DataError, match="lacks the marks"):
        with_figures("no marks", "new")


def test_the_page_has_the_tables_of_the_committed_result():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_figures(page, figures(json.loads(RESULT.read_text(encoding="utf-8"))))
