"""What mapping asks of whatever runs a model: bands in physical units in, calibrated probability out.

PyTorch satisfies it (:mod:`floodseg.runtimes.torch_runtime`); mapping knows no runtime, and imports none.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands


class OutOfDeviceMemoryError(Exception):
    """A call did not fit the memory of the device; a smaller batch may. For mapping, never for users."""


@runtime_checkable
class Runtime(Protocol):
    """A model that is ready to run. Calls are safe from ``concurrency`` threads at once."""

    @property
    def name(self) -> str:
        """What runs the model: ``torch``."""
        ...

    @property
    def device(self) -> str:
        """Where, in words: ``cpu``, or the name of the GPU."""
        ...

    @property
    def precision(self) -> str:
        """The number format of the arithmetic: ``fp32``."""
        ...

    @property
    def bands(self) -> Bands:
        """The channels that it takes, in order, and their units."""
        ...

    @property
    def thresholds(self) -> tuple[float, float, float, float]:
        """Water from this probability on, by validity code: nothing valid (never decided), radar, optical, both."""
        ...

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring windows must share for a result that does not depend on their size."""
        ...

    @property
    def concurrency(self) -> int:
        """Calls that may run at the same time; more would only wait for each other."""
        ...

    def batch_size(self, height: int, width: int) -> int:
        """Return how many windows of H x W pixels one call should hold: what keeps the device busy and fits it."""
        ...

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the calibrated water probability (N, H, W), 0 to 1; at pixels without valid sensor it means nothing.

        Args:
            sar: (N, C_sar, H, W) in the unit of ``bands`` (dB); C_sar is 0 for a model without radar.
            optical: (N, C_optical, H, W), reflectance or dn, the same.
            sar_valid: (N, H, W), True where the radar holds numbers; elsewhere its values are ignored.
            optical_valid: (N, H, W), the same.

        H and W are multiples of 32. A window's result does not depend on the other windows of the batch.

        Raises:
            OutOfDeviceMemoryError: the batch does not fit the device.
        """
        ...
