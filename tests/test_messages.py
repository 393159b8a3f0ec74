"""Redaction, escaping and shortening of messages."""

import json
import logging
from datetime import UTC, datetime

import pytest

from floodseg.errors import ConfigError, FloodsegError
from floodseg.messages import enumeration, note_once, percent, printable, redacted, shortened, suggestion
from floodseg.products.info import ProductInfo
from floodseg.products.writer import _file_name
from floodseg.scene.acquisition import Acquisition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--sar https://me:p@ss@host/a/b.tif: is", "--sar https://***@host/a/b.tif: is"),
        (
            "'https://host/a.tif?sig=ab%2Fc&se=1' is (https://h/b?x=1).",
            "'https://host/a.tif?***' is (https://h/b?***).",
        ),
        (
            "/vsicurl/https://u:p@h/a.tif?X-Amz-Signature=1, /vsis3/b/k?id=3",
            "/vsicurl/https://***@h/a.tif?***, /vsis3/b/k?***",
        ),
        ("/vsicurl?header.Authorization=Bearer%20X&url=https://h/a.tif: no", "/vsicurl?***: no"),
        ("/vsizip//vsicurl/https://h/x.zip?sig=1/NAME.SAFE", "/vsizip//vsicurl/https://h/x.zip?***"),
        ("PG:host=h password=xyz user=u", "PG:host=h password=*** user=u"),
        ("AWS_SECRET_ACCESS_KEY=abc/def; AKIAABCDEFGHIJKLMNOP", "AWS_SECRET_ACCESS_KEY=***; ***"),
    ],
)
def test_secrets_are_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["/data/token=5/a.tif", "/data/a@b?.tif: no such file", "s3://bucket/a.tif", "key 'x' = 3", "https://h/a@b.tif"],
)
def test_other_text_is_not_changed(text: str) -> None:
    assert redacted(text) == text


def test_errors_and_log_messages_have_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    address = "https://me:word@host/a.tif?sig=abc"
    for kind in (FloodsegError, ConfigError):
        assert str(kind(f"{address}: is wrong")) == "https://***@host/a.tif?***: is wrong"
    with caplog.at_level(logging.INFO, "floodseg"):
        note_once(logging.INFO, f"{address} is odd")
    assert caplog.messages == ["https://***@host/a.tif?*** is odd"]


def test_product_info_has_no_secrets() -> None:
    info = ProductInfo(
        model="s1-lite",
        threshold=0.5,
        knows_permanent_water=False,
        acquisition=Acquisition(datetime(2024, 1, 5, tzinfo=UTC), "tag X of https://u:p@host/a.tif?sig=abc"),
        inputs={"sar": ("https://u:p@host/a.tif?sig=abc", "local?.tif")},
    )
    assert info.acquisition is not None
    text = json.dumps([info.acquisition.source, dict(info.inputs)])
    assert "abc" not in text
    assert "u:p" not in text
    assert info.inputs["sar"] == ("https://***@host/a.tif?***", "local?.tif")
    assert [_file_name(name) for name in info.inputs["sar"]] == ["a.tif", "local?.tif"]


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\nb\u202ec é") == "a\\x1b[31m\\nb\\u202ec é"
    assert printable("a\nb\x07", lines=True) == "a\nb\\x07"


def test_long_text_is_shortened_in_the_middle() -> None:
    assert shortened("x" * 2000) == "x" * 2000
    short = shortened("a.csv: holds " + "x" * 10**6 + "; remove it")
    assert len(short) < 2000
    assert short.startswith("a.csv: holds xxx")
    assert short.endswith("xxx; remove it")


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "0.0 %"), (0.0009, "less than 0.1 %"), (0.001, "0.1 %"), (0.0312, "3.1 %"), (0.9997, "99.9 %"),
        (1.0, "100.0 %"),
    ],
)  # fmt: skip
def test_only_nothing_and_all_are_written_as_0_and_100_percent(share: float, expected: str) -> None:
    assert percent(share) == expected


@pytest.mark.parametrize(("digits", "expected"), [(0, "3 %"), (3, "3.125 %")])
def test_percentage_has_the_given_decimals(digits: int, expected: str) -> None:
    assert percent(0.03125, digits) == expected


def test_enumeration_and_suggestion() -> None:
    assert [enumeration(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert suggestion("effcient", ("efficient", "lite")) == " (did you mean efficient?)"
    assert suggestion("xyz", ("efficient", "lite")) == ""
