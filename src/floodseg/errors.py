"""Hierarchy of the errors that a user can correct.

::

    FloodsegError              base class; exit code 2
    ├── ConfigError            an invalid setting: flag, TOML key or Python argument
    ├── DataError              an invalid file, folder or value in the data
    ├── CheckpointError        weights that cannot be loaded into the requested model
    ├── RunFolderError         an output folder that is finished, in use or not writable
    │   └── FolderInUseError   an output folder that another process uses
    ├── ClusterError           a cluster that does not respond or has no workers
    ├── ScenesFailedError      some scenes of a list could not be mapped; exit code 3
    ├── ProcessError           a training process or a worker process ended early
    └── OtherProcessError      the main process failed; it reports the error, this process prints nothing

Every message names the file or setting, the rule and the remedy.
"""

from floodseg.messages import redacted


class FloodsegError(Exception):
    """Base class. The command line prints the message without a traceback and exits with ``exit_code``.

    Secrets in addresses are removed from the message (:func:`floodseg.messages.redacted`).
    """

    exit_code: int = 2

    def __init__(self, *message: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in message))


class ConfigError(FloodsegError):
    """An invalid setting: flag, TOML key or Python argument."""


class DataError(FloodsegError):
    """An invalid file, folder or value in the data."""


class CheckpointError(FloodsegError):
    """Weights or a checkpoint that cannot be loaded into the requested model."""


class RunFolderError(FloodsegError):
    """An output folder that is finished, in use or not writable."""


class FolderInUseError(RunFolderError):
    """An output folder that another process uses."""


class ClusterError(FloodsegError):
    """A cluster that does not respond or has no workers."""


class ScenesFailedError(FloodsegError):
    """Some scenes of a list could not be mapped; the products of the others are complete."""

    exit_code = 3


class ProcessError(FloodsegError):
    """A training process or a worker process ended early."""


class OtherProcessError(FloodsegError):
    """The main process failed. It reports the error, so this process prints nothing."""
