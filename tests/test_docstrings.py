"""Docstrings of public names: complete, with an example that runs."""

import doctest
import inspect
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import floodseg
from place_scenes import make_world, serving_world
from scenes import water_disc, write_label, write_raster, write_sar

CATALOGUE = {"fetch", "map_place", "search"}
"""Names whose examples need the local catalogue."""
SLOW = {"benchmark", "export", "train", *CATALOGUE}


def docstring(name: str) -> str:
    text = inspect.getdoc(getattr(floodseg, name))
    assert text is not None
    return text


@pytest.mark.parametrize("name", floodseg.__all__)
def test_docstring_is_complete(name: str) -> None:
    public, text = getattr(floodseg, name), docstring(name)
    assert ">>>" in text.partition("\nExample:\n")[2]
    if name not in ("FloodMap", "list_models"):  # reading products and counting models has no errors of its own
        assert re.search(r"\nRaises:\n    \w*Error: ", text)
    if inspect.isfunction(public):
        assert "\nReturns:\n" in text or name == "build_model"
        for parameter in inspect.signature(public).parameters.values():
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
            assert re.search(rf"\n    {re.escape(stars + parameter.name)}: ", text), parameter.name


@pytest.mark.parametrize("name", [name for name in floodseg.__all__ if name[0].isupper()])
def test_members_have_docstrings(name: str) -> None:
    public = getattr(floodseg, name)
    members = [member for key, member in vars(public).items() if not key.startswith("_")]
    described = [member for member in members if callable(member) or hasattr(member, "fget") or hasattr(member, "func")]
    assert all(inspect.getdoc(member) for member in described)
    assert described or is_dataclass(public)


def write_inputs(folder: Path) -> None:
    """Write the files that the examples name."""
    write_sar(folder / "S1.tif")
    write_raster(folder / "flood.tif", water_disc()[None].astype("u1"), nodata=255)
    write_raster(folder / "dem.tif", (10 - 5 * water_disc()[None]).astype("f4"))
    write_raster(folder / "people.tif", np.ones((1, 48, 40), "f4"))
    for day in (1, 13, 25):
        (folder / "maps").mkdir(exist_ok=True)
        write_raster(folder / f"maps/S1_202401{day:02d}.tif", water_disc()[None].astype("u1"), nodata=255)
    for number in range(4):
        write_sar(folder / f"chips/S1Hand/Event{number}_1_S1Hand.tif", seed=number)
        write_label(folder / f"chips/LabelHand/Event{number}_1_LabelHand.tif")


@pytest.fixture
def examples_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Working folder with the inputs of the example, and a running catalogue where it needs one."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        if request.node.callspec.params["name"] in CATALOGUE:
            stack.enter_context(serving_world(make_world(tmp_path / "world"), tmp_path))
        yield tmp_path


def examples() -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in floodseg.__all__]


@pytest.mark.parametrize("name", examples())
def test_example_runs(name: str, examples_folder: Path) -> None:
    test = doctest.DocTestParser().get_doctest(docstring(name), {"floodseg": floodseg, "np": np}, name, None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)
