"""Error of a request that the server refuses."""

from floodseg.errors import FloodsegError


class RequestError(FloodsegError):
    """A request that cannot be answered.

    Args:
        message: what is wrong, and the remedy.
        status: HTTP status, 4xx.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
