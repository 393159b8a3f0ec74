"""Error hierarchy: every error that a user can correct.

::

    FloodsegError              base of all errors raised on purpose; exit code 2
    ├── ConfigError            a flag, key or argument that cannot be followed
    ├── DataError              a file, folder or value of the data that breaks a rule
    ├── CheckpointError        weights that cannot be loaded into the model asked for
    ├── RunFolderError         a run folder that is finished, busy or cannot be written
    │   └── FolderInUseError   another process works in it
    ├── ClusterError           a cluster that does not answer, or has no worker
    ├── ScenesFailedError      some scenes of many could not be mapped; exit code 3
    ├── ProcessError           another of several processes ended early
    └── OtherProcessError      the main one of several processes failed, and reports why; this one ends in silence

Every message names the file or flag, the rule and the remedy in one sentence.
"""

from floodseg.messages import redacted


class FloodsegError(Exception):
    """Base class. The command line prints the message alone, without a traceback, and exits with ``exit_code``.

    Secrets in addresses never become part of a message (:func:`floodseg.messages.redacted`).
    """

    exit_code: int = 2

    def __init__(self, *message: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in message))


class ConfigError(FloodsegError):
    """A flag, TOML key or Python argument that cannot be followed."""


class DataError(FloodsegError):
    """A file, folder or value of the data that breaks a rule of the data contract."""


class CheckpointError(FloodsegError):
    """Weights or a checkpoint that cannot be loaded into the model that was asked for."""


class RunFolderError(FloodsegError):
    """A run folder that is finished already, in use, or cannot be written."""


class FolderInUseError(RunFolderError):
    """A folder in which another process works at the moment."""


class ClusterError(FloodsegError):
    """A cluster that does not answer, or has no worker."""


class ScenesFailedError(FloodsegError):
    """Some scenes of many could not be mapped; the products of the others are complete."""

    exit_code = 3


class ProcessError(FloodsegError):
    """One of several processes, or a process that loads chips, ended early."""


class OtherProcessError(FloodsegError):
    """The main one of several processes failed; that one reports why, so the command line prints nothing here."""
