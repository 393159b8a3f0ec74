"""Static files of the web app: size, licences, and no address of another host."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

STATIC = Path(str(files("floodseg.server"))) / "static"
VENDOR = STATIC / "vendor"
OWN = sorted(path for path in STATIC.iterdir() if path.is_file())
LIMIT = 2_500_000


def test_libraries_are_small_and_have_their_licences() -> None:
    assert sum(path.stat().st_size for path in VENDOR.iterdir()) <= LIMIT
    for package in json.loads((VENDOR / "versions.json").read_text()):
        assert len((VENDOR / f"{package.rpartition('/')[2]}.LICENSE.txt").read_text()) > 500, package


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_page_names_no_other_host(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # the name of a format
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text) == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= (420 if path.suffix == ".css" else 300)


def test_all_files_are_used() -> None:
    """Each module is imported, and each style sheet, script and picture is named by the page or by a module."""
    text = "".join(path.read_text() for path in OWN)
    for path in [*OWN, *VENDOR.glob("*.*js"), *VENDOR.glob("*.css"), *VENDOR.glob("*.gz")]:
        # the worker is loaded by the library from its own folder
        assert path.name in text or path.name in ("index.html", "maplibre-gl-worker.mjs"), path.name
