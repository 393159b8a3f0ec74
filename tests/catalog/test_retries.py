"""Time between attempts."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from floodseg.catalog.retries import RetryPolicy

RETRIES = RetryPolicy(first_wait_s=0.5, longest_wait_s=60)


def test_time_doubles_up_to_the_longest() -> None:
    assert [RETRIES.wait_s(failures, None) for failures in (1, 2, 3, 20)] == [0.5, 1, 2, 60]


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), (" 7 ", 7), ("3600", 60), ("-7", 0.5), ("soon", 0.5), ("", 0.5)]
)
def test_number_of_retry_after_is_honoured_up_to_the_longest(header: str, seconds: float) -> None:
    assert RETRIES.wait_s(1, header) == seconds


@pytest.mark.parametrize(("days", "low", "high"), [(20 / 86_400, 15, 20), (1, 60, 60), (-1, 0.5, 0.5)])
def test_date_of_retry_after_is_honoured_up_to_the_longest(days: float, low: float, high: float) -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)
    assert low <= RETRIES.wait_s(1, header) <= high
