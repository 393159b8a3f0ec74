"""Runtime protocol: bands in physical units in, calibrated water probability out.

The mapping code depends only on this protocol. It imports no runtime library.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands


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

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
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
