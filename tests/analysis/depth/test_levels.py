"""Error of the water level on floods with a known level, with the default settings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from depth_files import classes_of, estimate, levels
from floodseg.simulate.known_floods import KnownFlood, known_floods

_EXACT = {
    "bowl": 0.005, "valley 1e-3": 0.035, "valley 5e-3": 0.035, "meander": 0.02, "swath edge": 0.03,
    "slope break": 0.14, "weir 1 m": 0.12, "canopy": 0.10,
}  # fmt: skip
_NOISY = {"bowl, noise 1 m": 0.25, "valley 1e-3, noise 1 m": 0.25, "meander, noise 0.5 m": 0.13}
_SEEDS = range(100, 105)


def case(name: str, seed: int = 100) -> KnownFlood:
    return next(each for each in known_floods(seed) if each.name == name)


def rmse(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


@pytest.mark.parametrize("name", _EXACT)
def test_level_of_exact_heights(name: str) -> None:
    flood = case(name)
    found = levels(flood)
    error = found.level - flood.level[flood.flood]
    assert rmse(error) < _EXACT[name]
    assert np.mean(np.abs(error) <= found.level_half_width) > 0.9
    assert found.level_half_width.min() >= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", _NOISY)
def test_level_and_intervals_of_noisy_heights(name: str) -> None:
    errors, level_covered, depth_covered = [], [], []
    for seed in _SEEDS:
        flood = case(name, seed)
        found = levels(flood)
        error = found.level - flood.level[flood.flood]
        errors.append(rmse(error))
        level_covered.append(np.mean(np.abs(error) <= found.level_half_width))
        of_height = (flood.dem - flood.terrain)[flood.flood]
        depth_covered.append(np.mean(np.abs(error - of_height) <= found.depth_half_width))
    assert np.mean(errors) < _NOISY[name]
    assert 0.85 <= np.mean(level_covered) <= 0.95
    assert 0.85 <= np.mean(depth_covered) <= 0.95


def test_swath_edge_as_land_would_be_a_shore() -> None:
    # the same half bowl with the unseen half as dry land: the level is wrong by more than a metre
    flood = case("swath edge")
    classes = np.where(flood.flood, 1, 0).astype(np.uint8)
    _, surface = estimate(classes, flood.dem)
    row, column = np.nonzero(flood.flood)
    wrong = surface.at(np.zeros(len(row), np.int32), row, column).level
    assert rmse(wrong - 3.0) > 0.3
    assert rmse(levels(flood).level - 3.0) < 0.03


def test_constant_added_to_heights_is_added_to_levels() -> None:
    flood = case("meander, noise 0.5 m")
    _, low = estimate(classes_of(flood), flood.dem)
    _, high = estimate(classes_of(flood), flood.dem + 512.0)
    row, column = np.nonzero(flood.flood)
    numbers = np.zeros(len(row), np.int32)
    one, other = low.at(numbers, row, column), high.at(numbers, row, column)
    np.testing.assert_allclose(other.level, one.level + 512.0, atol=2e-3)  # 512 m costs six bits of float32
    np.testing.assert_allclose(other.depth_half_width, one.depth_half_width, atol=2e-3)


def test_rotated_map_has_rotated_levels() -> None:
    flood = case("valley 1e-3, noise 1 m")
    _, surface = estimate(classes_of(flood), flood.dem)
    _, turned = estimate(np.rot90(classes_of(flood)).copy(), np.rot90(flood.dem).copy())
    row, column = np.nonzero(flood.flood)
    numbers = np.zeros(len(row), np.int32)
    there = turned.at(numbers, 399 - column, row)
    here = surface.at(numbers, row, column)
    assert np.abs(there.level - here.level).max() < 0.05  # cells are squares of the map, not of the ground
    assert rmse(there.level - here.level) < 0.01
