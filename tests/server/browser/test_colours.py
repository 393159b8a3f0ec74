"""Contrast of the colours that the web app draws with, as people with deuteranopia or protanopia see them."""

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.products.cog import COLOURS
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, PERMANENT_WATER

VISION = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
"""Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB."""
WHITE = (255, 255, 255)
LIMIT = 3.0


def luminance(colour: tuple[int, ...], vision: NDArray[np.float64]) -> float:
    """Relative luminance (WCAG 2.2) of a simulated sRGB colour."""
    srgb = np.array(colour[:3]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float(np.clip(vision @ linear, 0, 1) @ [0.2126, 0.7152, 0.0722])


def contrast(first: tuple[int, ...], second: tuple[int, ...], vision: NDArray[np.float64]) -> float:
    low, high = sorted((luminance(first, vision), luminance(second, vision)))
    return (high + 0.05) / (low + 0.05)


def basemap(name: str) -> tuple[int, ...]:
    """A colour of ``basemap.js``."""
    text = files("floodseg.server").joinpath("static/basemap.js").read_text()
    found = re.search(rf'\b{name}: "#([0-9a-f]{{6}})"', text)
    assert found is not None
    return tuple(bytes.fromhex(found[1]))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(("first", "second"), list(combinations((LAND, FLOOD, PERMANENT_WATER), 2)))
def test_classes_are_told_apart(first: int, second: int, vision: str) -> None:
    assert contrast(COLOURS[first], COLOURS[second], VISION[vision]) >= LIMIT


@pytest.mark.parametrize("vision", VISION)
def test_stripes_of_excluded_areas_are_told_apart(vision: str) -> None:
    """A fourth colour with 3:1 to the others cannot exist (27:1 is above 21:1), so excluded areas are hatched."""
    assert contrast(COLOURS[EXCLUDED], WHITE, VISION[vision]) >= LIMIT


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("water", [FLOOD, PERMANENT_WATER])
@pytest.mark.parametrize("ground", ["sea", "land"])
def test_water_stands_out_from_the_basemap(water: int, ground: str, vision: str) -> None:
    assert contrast(COLOURS[water], basemap(ground), VISION[vision]) >= LIMIT


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("ground", ["sea", "land", "casing"])
def test_outlines_stand_out(ground: str, vision: str) -> None:
    """Drawings have a white casing, so that they are seen on water, too."""
    assert contrast(basemap("mark"), basemap(ground), VISION[vision]) >= LIMIT
