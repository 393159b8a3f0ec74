"""What is said about data once in a process."""

from functools import cache
from logging import getLogger

from floodseg.messages import redacted


@cache
def note_once(level: int, message: str) -> None:
    """Log a message about the data once in a process, however many splits are opened."""
    getLogger("floodseg").log(level, redacted(message))
