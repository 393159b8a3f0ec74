"""Permission for requests to a network."""

from collections.abc import Sequence
from dataclasses import dataclass

from floodseg.config.places import PERMISSION_VARIABLE
from floodseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A host to which a command would send requests, and their purpose."""

    host: str
    purpose: str
    """Noun phrase after "HOST for", such as "items of sentinel-1-rtc"."""


def require_permission(planned: Sequence[PlannedRequest], *, allowed: bool) -> None:
    """Refuse requests to a network unless they are allowed.

    Raises:
        ConfigError: they are not; the message names each host and what it would be asked for.
    """
    if allowed or not planned:
        return
    hosts = "; ".join(f"{request.host} for {request.purpose}" for request in planned)
    raise ConfigError(
        f"no request was sent, since `allow_remote` is not set (requests needed: {hosts}); set it, or set the "
        f"environment variable {PERMISSION_VARIABLE}=1"
    )
