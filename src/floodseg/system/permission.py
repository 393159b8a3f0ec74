"""Permission for requests to a network."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from floodseg.errors import ConfigError

PERMISSION_VARIABLE = "FLOODSEG_ALLOW_REMOTE"
"""Environment variable that permits requests to a network, as ``allow_remote`` does."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A host to which a command would send requests, and their purpose."""

    host: str
    purpose: str
    """Noun phrase after "HOST for", such as "items of sentinel-1-rtc"."""


def may_request(*, allow_remote: bool) -> bool:
    """Return True if ``allow_remote`` or the environment variable permits requests.

    Raises:
        ConfigError: the environment variable is neither 0 nor 1.
    """
    value = os.environ.get(PERMISSION_VARIABLE, "").strip().lower()
    if value not in ("", "0", "1", "false", "true", "no", "yes"):
        raise ConfigError(f"{PERMISSION_VARIABLE}={value}: must be 0 or 1; correct the environment variable")
    return allow_remote or value in ("1", "true", "yes")


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
