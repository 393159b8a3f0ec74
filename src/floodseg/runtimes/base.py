"""Runtime protocol: bands in physical units in, calibrated water probability out.

The mapping code depends only on this protocol. It imports no runtime library.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import OPTICAL_VALID, SAR_VALID, Bands

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


class OutOfDeviceMemoryError(Exception):
    """A batch does not fit in the memory of the device.

    The mapping code catches it and retries with a smaller batch.
    """


@runtime_checkable
class Runtime(Protocol):
    """A loaded model. ``probability`` may be called from ``concurrency`` threads at the same time."""

    @property
    def name(self) -> str:
        """Name of the library that runs the model, such as ``torch``."""
        ...

    @property
    def device(self) -> str:
        """``cpu``, or the name of the GPU."""
        ...

    @property
    def precision(self) -> str:
        """Number format of the arithmetic, such as ``fp32``."""
        ...

    @property
    def bands(self) -> Bands:
        """Input bands, in order, and their units."""
        ...

    @property
    def thresholds(self) -> tuple[float, float, float, float]:
        """Smallest probability that counts as water, by validity code: no sensor (unused), radar, optical, both."""
        ...

    @property
    def optical_margin(self) -> int:
        """Distance in pixels from a pixel of radar alone up to which radar decides, too; 0 without such a margin.

        It is the radius of the receptive field of an optical model whose result at a pixel shall not depend on hidden
        pixels.
        """
        ...

    @property
    def finds_clouds(self) -> bool:
        """True if the model finds clouds in the optical image, under which its radar model decides alone."""
        ...

    @property
    def overlap(self) -> int:
        """Overlap of neighbouring windows, in pixels. With it the result does not depend on the window size."""
        ...

    @property
    def concurrency(self) -> int:
        """Maximum number of calls that run at the same time; further calls wait."""
        ...

    def batch_size(self, height: int, width: int) -> int:
        """Return the number of windows of H x W pixels per call that keeps the device busy and fits in its memory."""
        ...

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        """Return the calibrated water probability (N, H, W), 0 to 1; it is undefined at pixels without a valid sensor.

        H and W are multiples of 32. The result of a window does not depend on the other windows of the batch.

        Args:
            sar: (N, C_sar, H, W) in the unit of ``bands`` (dB); C_sar is 0 for a model without radar.
            optical: (N, C_optical, H, W), reflectance or digital numbers (dn); C_optical is 0 for a model without
                optical bands.
            sar_valid: (N, H, W), True at valid radar pixels; other radar values are ignored.
            optical_valid: (N, H, W), True at valid optical pixels; other optical values are ignored.

        Raises:
            OutOfDeviceMemoryError: the batch does not fit in the memory of the device.
        """
        ...


def deciding_sensors(
    sar_valid: NDArray[np.bool_], optical_valid: NDArray[np.bool_], optical_margin: int = 0
) -> NDArray[np.uint8]:
    """Return the sensors that decide each pixel, (..., H, W): 0 none, 1 radar, 2 the optical image, 3 both.

    Both decide where both are valid, except within ``optical_margin`` rows and columns of a pixel that is valid in the
    radar image alone, where radar decides. Such a pixel may be hidden by a cloud, in contrast to one that is invalid in
    both images, such as a pixel outside the scene.

    Args:
        sar_valid: (..., H, W), True at valid radar pixels.
        optical_valid: (..., H, W), True at valid optical pixels.
        optical_margin: see ``Runtime.optical_margin``.
    """
    codes: NDArray[np.uint8] = SAR_VALID * sar_valid.astype(np.uint8) + OPTICAL_VALID * optical_valid.astype(np.uint8)
    sar_alone = sar_valid & ~optical_valid
    if optical_margin and sar_alone.any():
        codes[sar_valid & optical_valid & _near(sar_alone, optical_margin)] = SAR_VALID
    return codes


def _near(pixels: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Return True within ``distance`` rows and columns of a True pixel of (..., H, W)."""
    for axis in (-2, -1):
        lines = np.moveaxis(pixels, axis, -1)
        # number of True pixels before each position, with copies of the ends for positions outside the array
        before = np.pad(lines.cumsum(axis=-1, dtype=np.int32), [(0, 0)] * (lines.ndim - 1) + [(1, 0)])
        positions = np.arange(lines.shape[-1])
        first, last = (positions - distance).clip(min=0), (positions + distance + 1).clip(max=lines.shape[-1])
        pixels = np.moveaxis(before[..., last] > before[..., first], -1, axis)
    return pixels
