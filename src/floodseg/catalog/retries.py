"""Number of attempts of a request, and the time between them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses of temporary errors, after which a request is sent again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Number of attempts, and the time between them."""

    attempts: int = 6
    first_wait_s: float = 0.5
    """Time after the first failed attempt; it doubles with each further one."""
    longest_wait_s: float = 60.0
    """Longest time between two attempts, also if the server asks for more (Retry-After)."""
    timeout_s: float = 30.0
    """Longest time without data from the server."""

    def wait_s(self, failures: int, retry_after: str | None) -> float:
        """Return the seconds to wait after a number of failures; ``retry_after``: header of the last response."""
        return min(max(self.first_wait_s * 2.0 ** (failures - 1), _asked_s(retry_after)), self.longest_wait_s)


def _asked_s(retry_after: str | None) -> float:
    """Return the seconds that a header asks to wait, which is a number or a date; 0 if it is neither."""
    text = (retry_after or "").strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
