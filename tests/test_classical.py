"""Classical baselines: Otsu's threshold and NDWI."""

import numpy as np
import pytest

from floodseg.classical import ndwi_water, otsu, otsu_of_histogram


def brute_force_otsu(values):
    """Return the inner edge, of 255, with the largest between-class variance of the pixels."""
    edges = np.linspace(values.min(), values.max(), 257)[1:-1]
    variances = []
    for edge in edges:
        dark = values < edge
        variances.append(dark.mean() * (1 - dark.mean()) * (values[dark].mean() - values[~dark].mean()) ** 2)
    return edges[int(np.argmax(variances))]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_otsu_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    vh = np.concatenate((rng.normal(-22, 2, 900), rng.normal(-14, 3, 3000))).reshape(60, 65).astype(np.float32)
    step = float(vh.max() - vh.min()) / 256
    assert otsu(vh, np.ones_like(vh, bool)) == pytest.approx(brute_force_otsu(vh.ravel().astype(float)), abs=2 * step)


def test_otsu_returns_the_middle_of_empty_bins():
    vh = np.array([[-28.0, -28.0, -10.0, -10.0]], np.float32)
    assert otsu(vh, np.ones((1, 4), bool)) == pytest.approx(-19, abs=0.1)


def test_otsu_ignores_empty_bins_at_the_ends():
    pixels, edges = np.array([3, 0, 0, 5, 2]), np.linspace(-30.0, -20.0, 6)
    threshold = otsu_of_histogram(pixels, edges)
    assert threshold == -26.0
    wide = np.linspace(-40.0, -10.0, 16)
    assert otsu_of_histogram(np.concatenate((np.zeros(5, int), pixels, np.zeros(5, int))), wide) == threshold


@pytest.mark.parametrize("pixels", [[0, 0, 0], [0, 7, 0]])
def test_otsu_of_one_bin_is_none(pixels):
    assert otsu_of_histogram(np.array(pixels), np.arange(4.0)) is None


def test_ndwi_water_without_division():
    green, near_infrared = np.array([0.1, 0.1, -0.01, 0.0]), np.array([0.05, 0.1, -0.03, 0.0])
    assert ndwi_water(green, near_infrared).tolist() == [True, False, True, False]
