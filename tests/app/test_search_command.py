import json
from pathlib import Path
from typing import Any

import pytest

from floodseg.app.cli import main
from stac_items import optical_item, radar_item
from stac_server import serving_items

WIDE = (-2.0, 38.0, 1.0, 41.0)
SOURCE = """
address = "{url}"

[sar]
collection = "sentinel-1-rtc"
units = "linear"
assets = {{VV = "vv", VH = "vh"}}

[optical]
collection = "sentinel-2-l2a"
assets = {{B03 = "B03", B08 = "B08", SCL = "SCL"}}
"""


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["search", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_search_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [
        radar_item("2024-10-31T06:03:01Z", (-2.0, 38.0, 1.0, 39.5)),
        radar_item("2024-10-31T06:03:26Z", (-2.0, 39.4, 1.0, 41.0)),
        radar_item("2024-11-02T17:55:00Z", (-2.0, 38.0, -0.38, 41.0), orbit=103, state="descending"),
        optical_item("2024-11-02T10:51:29Z", WIDE, cloud=37.6),
    ]
    with serving_items(items) as server:
        (tmp_path / "local.toml").write_text(SOURCE.format(url=server.url))
        arguments = ("--place", "Valencia, ES", "--radius", "20km", "--date", "2024-10-31", "--allow-remote")
        code = run(*arguments, "--source", tmp_path / "local.toml", "--json", tmp_path / "passes.json")
    assert code == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    lines = [line.split() for line in printed.splitlines()]
    document = json.loads((tmp_path / "passes.json").read_text())
    megabytes = f"{document['passes'][0]['bytes_to_read'] / 1e6:.3g}"
    assert lines[0] == ["3", "passes", "over", "Valencia,", "ES,", "20", "km", "to", "each", "side", "in", "local"]
    assert lines[2][:10] == ["sentinel-1a", "2024-10-31", "06:03", "asc", "8", "radar", "2", "100", "%", megabytes]
    assert lines[2][10:] == ["+0.3"]
    assert lines[3][:10] == ["sentinel-2b", "2024-11-02", "10:51", "51", "optical", "1", "100", "%", "38", "%"]
    assert lines[4][:9] == ["sentinel-1a", "2024-11-02", "17:55", "desc", "103", "radar", "1", "50", "%"]
    assert "GeoNames" in " ".join(lines[5])
    assert len(document["passes"]) == 3
    assert [len(each["items"]) for each in document["passes"]] == [2, 1, 1]
    assert "GeoNames" in document["attribution"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), 'no day is set; set --date, such as 2024-10-31, or --dates'),
        (("--date", "2024-10-31"), 'no area is set; set --place, such as "Valencia, ES", --bbox or --aoi'),
        (
            ("--place", "Bologna", "--date", "2024-10-31"),
            "no request was sent, since --allow-remote is not set (requests needed: planetarycomputer.microsoft.com "
            "for items of sentinel-1-rtc and sentinel-2-l2a from 2024-10-31 to 2024-11-06 over the area); set it",
        ),
        (("--place", "Valencia", "--date", "2024-10-31"), "--place Valencia: names several places; add the country"),
        (("--bbox", "-0.6", "39.2", "-0.2", "--date", "2024-10-31"), "--bbox requires 4 positional arguments"),
        (
            ("--place", "Bologna", "--date", "2024-10-31", "--source", "earth-search"),
            "set --sensors optical, or use another source",
        ),
    ],
)  # fmt: skip
def test_errors_are_one_sentence_with_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_pystac_client_is_reported_with_the_pip_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("floodseg.system.extras.is_installed", lambda package: False)
    (tmp_path / "local.toml").write_text(SOURCE.format(url="http://127.0.0.1:9"))
    arguments = ("--place", "Bologna", "--date", "2024-10-31", "--allow-remote", "--source", tmp_path / "local.toml")
    assert run(*arguments) == 2
    assert "needs pystac_client, which is not installed; pip install 'floodseg[stac]'" in capsys.readouterr().err
