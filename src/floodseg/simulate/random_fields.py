"""Random fields with power-law spectra, and a smoothing kernel."""

import math

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def padded_size(size: int) -> int:
    """Return the smallest length of at least 1.125 ``size`` with no prime factors except 2, 3 and 5.

    A Fourier synthesis is periodic. The margin prevents matching opposite edges after cropping, and such lengths are
    fast to transform.
    """
    length = math.ceil(1.125 * size)
    while True:
        cofactor = length
        for factor in (2, 3, 5):
            while cofactor % factor == 0:
                cofactor //= factor
        if cofactor == 1:
            return length
        length += 1


def periodic_field(
    rng: np.random.Generator, height: int, width: int, slope: float, outer_scale: float = math.inf
) -> Field:
    """Return a periodic Gaussian field (H, W) with power spectral density proportional to wavenumber ** ``slope``.

    Args:
        rng: random generator.
        height: number of rows.
        width: number of columns.
        slope: exponent of the two-dimensional spectrum, below 0; a transect has the exponent ``slope + 1``.
        outer_scale: wavelength in pixels above which the spectrum is flat (von Karman), so that structures do not grow
            with the size of the scene.

    Returns:
        float32 of mean 0 and standard deviation 1.
    """
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    squared = (rows**2 + columns**2 + outer_scale**-2).astype(np.float32)
    # no amplitude at wavenumber 0, the mean
    squared[0, 0] = np.inf
    amplitude = np.exp(np.float32(slope / 4) * np.log(squared))
    # the inverse transform uses only the symmetric half of the columns at frequencies 0 and 1/2
    amplitude[:, 0] *= np.float32(np.sqrt(2))
    if width % 2 == 0:
        amplitude[:, -1] *= np.float32(np.sqrt(2))
    noise = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = np.fft.irfft2(noise * amplitude, s=(height, width)).astype(np.float32)
    return np.asarray(field / max(float(field.std()), 1e-12), dtype=np.float32)


def power_law_field(
    rng: np.random.Generator, height: int, width: int, slope: float, outer_scale: float = math.inf
) -> Field:
    """Return an aperiodic field (H, W), cropped from a larger ``periodic_field`` with the same arguments.

    The larger field has mean 0 and standard deviation 1; those of the crop vary.
    """
    return periodic_field(rng, padded_size(height), padded_size(width), slope, outer_scale)[:height, :width].copy()


def smooth(field: Field, weight: float) -> Field:
    """Return ``field`` (..., H, W) filtered on both axes with the kernel (w, 1 - 2w, w); edges are repeated."""
    for axis in (-2, -1):
        padding = [(0, 0)] * field.ndim
        padding[axis] = (1, 1)
        padded = np.moveaxis(np.pad(field, padding, mode="edge"), axis, 0)
        blurred = (1 - 2 * weight) * padded[1:-1] + weight * (padded[:-2] + padded[2:])
        field = np.moveaxis(blurred, 0, axis)
    return np.asarray(field, dtype=np.float32)
