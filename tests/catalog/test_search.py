import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import floodseg
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.search import SearchResult, search_config
from floodseg.config.flat import from_flat
from floodseg.config.places import SearchConfig
from floodseg.errors import ConfigError, DataError
from stac_items import optical_item, radar_item
from stac_server import SearchFault, StacServer, serving_items

QUICK = RetryPolicy(attempts=4, first_wait_s=0.01, longest_wait_s=1.0)
WIDE = (-2.0, 38.0, 1.0, 41.0)
WEST = (-2.0, 38.0, -0.4, 41.0)
AREA = {"bbox": (-0.6, 39.2, -0.2, 39.6)}
PERIOD = {"dates": "2024-10-31/2024-11-06"}
SETTINGS: dict[str, Any] = {**AREA, **PERIOD, "allow_remote": True}
SOURCE = """
address = "{url}"

[sar]
collection = "sentinel-1-rtc"
units = "linear"
assets = {{VV = "vv", VH = "vh"}}

[optical]
collection = "sentinel-2-l2a"
assets = {{B02 = "B02", B03 = "B03", B04 = "B04", B08 = "B08", B11 = "B11", B12 = "B12", SCL = "SCL"}}
"""

Items = list[dict[str, Any]]


def many(count: int = 25) -> Items:
    """Return slices of one hour each, more than fit on two pages."""
    return [radar_item(f"2024-11-0{1 + hour // 24}T{hour % 24:02d}:00:00Z", WIDE, orbit=hour) for hour in range(count)]


@contextmanager
def catalogue(folder: Path, items: Items, **server: Any) -> Iterator[tuple[StacServer, str]]:
    """Serve items, and write a file that describes the server as a source."""
    with serving_items(items, **server) as state:
        path = folder / "local.toml"
        path.write_text(SOURCE.format(url=state.url))
        yield state, str(path)


def search(source: str, **settings: Any) -> SearchResult:
    return search_config(from_flat(SearchConfig, {**SETTINGS, "source": source, **settings}), QUICK)


def ids(result: SearchResult) -> set[str]:
    return {item.id for each in result.passes for item in each.items}


@pytest.fixture
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("_no_sockets")
def test_without_permission_no_socket_is_opened_and_the_hosts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    with pytest.raises(ConfigError) as caught:
        floodseg.search(place="Valencia, ES", radius="20km", date="2024-10-31")
    assert str(caught.value) == (
        "no request was sent, since `allow_remote` is not set (requests needed: planetarycomputer.microsoft.com for "
        "items of sentinel-1-rtc and sentinel-2-l2a from 2024-10-31 to 2024-11-06 over the area); set it, or set the "
        "environment variable FLOODSEG_ALLOW_REMOTE=1"
    )


@pytest.mark.parametrize(("value", "allowed"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_environment_variable_permits_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, allowed: bool
) -> None:
    monkeypatch.setenv("FLOODSEG_ALLOW_REMOTE", value)
    with catalogue(tmp_path, [radar_item("2024-11-01T06:00:00Z", WIDE)]) as (server, source):
        if allowed:
            assert search(source, allow_remote=False, sensors="sar").passes
        else:
            with pytest.raises(ConfigError, match="no request was sent"):
                search(source, allow_remote=False, sensors="sar")
        assert bool(server.requests) is allowed


def test_invalid_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOODSEG_ALLOW_REMOTE", "maybe")
    with pytest.raises(ConfigError, match="FLOODSEG_ALLOW_REMOTE=maybe: must be 0 or 1"):
        floodseg.search(**AREA, **PERIOD)


def test_finds_passes_of_both_sensors_on_all_pages(tmp_path: Path) -> None:
    optical = optical_item("2024-11-02T10:51:29Z", WIDE)
    with catalogue(tmp_path, [*many(), optical], page_size=4) as (server, source):
        result = search(source)
    assert ids(result) == {item["id"] for item in many()} | {optical["id"]}
    assert [method for method, _ in server.requests] == ["POST"] * 8
    assert result.notes == ()


def test_pages_by_get_are_followed(tmp_path: Path) -> None:
    with catalogue(tmp_path, many(), page_size=4, next_by_get=True) as (server, source):
        assert len(ids(search(source, sensors="sar"))) == 25
    assert [method for method, _ in server.requests] == ["POST", *["GET"] * 6]


def test_next_page_on_a_host_that_was_not_named_is_not_asked_for(tmp_path: Path) -> None:
    with catalogue(tmp_path, many(), page_size=4) as (server, source):
        server.next_url = server.url.replace("127.0.0.1", "localhost")
        message = (
            r"^127\.0\.0\.1:\d+: a part of the search is on localhost, a host that the source does not "
            r'name; set `source` to a TOML file with data_hosts = \["localhost", \.\.\.\]'
        )
        with pytest.raises(DataError, match=message):
            search(source, sensors="sar")
        assert len(server.requests) == 1
        Path(source).write_text(f'data_hosts = ["localhost"]\n{Path(source).read_text()}')
        assert len(ids(search(source, sensors="sar"))) == 25


def test_an_empty_page_is_not_the_end(tmp_path: Path) -> None:
    with catalogue(tmp_path, many(), page_size=10, empty_page=1) as (_, source):
        assert len(ids(search(source, sensors="sar"))) == 25


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        ({0: [SearchFault(status=500)]}, 4),
        ({1: [SearchFault(status=503), SearchFault(status=500)]}, 5),
        ({1: [SearchFault(cut=200)]}, 4),
        ({2: [SearchFault(body=b"<html>maintenance</html>")]}, 4),
        ({0: [SearchFault(status=429, retry_after="0")], 2: [SearchFault(status=502)]}, 5),
        ({0: [SearchFault(status=405, method="POST", always=True)]}, 4),
        ({1: [SearchFault(status=405, method="POST", always=True)]}, 4),
    ],
)
def test_faults_do_not_change_the_result(tmp_path: Path, faults: dict[int, list[SearchFault]], requests: int) -> None:
    with catalogue(tmp_path, many()) as (_, source):
        expected = search(source, sensors="sar")
    with catalogue(tmp_path, many(), faults=faults) as (server, source):
        assert search(source, sensors="sar").passes == expected.passes
    assert len(server.requests) == requests


def test_a_page_that_refuses_get_is_asked_by_post(tmp_path: Path) -> None:
    faults = {1: [SearchFault(status=405, method="GET", always=True)]}
    with catalogue(tmp_path, many(), faults=faults, next_by_get=True) as (server, source):
        assert len(ids(search(source, sensors="sar"))) == 25
    assert [method for method, _ in server.requests] == ["POST", "GET", "POST", "GET"]


def test_retry_after_is_followed_up_to_the_longest_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("floodseg.catalog.stac_api.time.sleep", waits.append)
    faults = [
        SearchFault(status=429, retry_after="0.9"),
        SearchFault(status=429, retry_after="1"),
        SearchFault(429, "900"),
    ]
    with (
        caplog.at_level(logging.INFO, "floodseg"),
        catalogue(tmp_path, many(1), faults={0: faults}) as (_, source),
    ):
        search(source, sensors="sar")
    assert waits == [0.01, 1.0, 1.0]  # a Retry-After with a fraction is ignored
    assert "status 429; attempt 2 follows in 0.0 s" in caplog.text


def test_a_lasting_fault_ends_after_the_attempts_with_the_reason(tmp_path: Path) -> None:
    faults = {1: [SearchFault(status=503, always=True)]}
    with catalogue(tmp_path, many(), faults=faults) as (server, source):
        host = server.url.removeprefix("http://")
        with pytest.raises(DataError, match=rf"{host}: the search failed 4 times \(last: status 503\); try again"):
            search(source, sensors="sar")
    assert len(server.requests) == 1 + 4


def test_a_refusal_is_not_repeated(tmp_path: Path) -> None:
    faults = {0: [SearchFault(status=400, always=True)]}
    with (
        catalogue(tmp_path, many(), faults=faults) as (server, source),
        pytest.raises(DataError, match=r"refused the search \(status 400\); check the address"),
    ):
        search(source, sensors="sar")
    assert len(server.requests) == 1


def test_an_absent_server_is_reported(tmp_path: Path) -> None:
    with catalogue(tmp_path, []) as (_, source):
        pass
    with pytest.raises(DataError, match=r"the search failed 4 times \(last: no connection\)"):
        search(source, sensors="sar")


def test_an_answer_without_items_is_refused(tmp_path: Path) -> None:
    with (
        catalogue(tmp_path, [], faults={0: [SearchFault(body=b'{"links": []}')]}) as (_, source),
        pytest.raises(DataError, match="answered a search with something else than items"),
    ):
        search(source, sensors="sar")


def test_duplicates_and_items_without_vh_are_left_out_with_a_note(tmp_path: Path) -> None:
    complete = radar_item("2024-11-01T06:00:00Z", WIDE)
    single = radar_item("2024-11-02T06:00:00Z", WIDE, name="single", hrefs={"vv": "https://data.example/vv.tif"})
    older, newer = (optical_item("2024-11-02T10:51:29Z", WIDE, baseline=baseline) for baseline in ("05.00", "05.11"))
    with catalogue(tmp_path, [complete, complete, single, older, newer]) as (_, source):
        result = search(source)
    assert ids(result) == {complete["id"], newer["id"]}
    assert result.notes == (
        "items without all bands are left out: single without VH",
        f"older versions of items are left out: {older['id']}",
    )


def test_passes_are_ordered_by_cover_then_time(tmp_path: Path) -> None:
    items = [
        radar_item("2024-10-31T06:00:00Z", WEST, orbit=1),
        radar_item("2024-11-04T06:00:00Z", WIDE, orbit=2),
        optical_item("2024-11-02T10:51:29Z", WIDE),
    ]
    with catalogue(tmp_path, items) as (_, source):
        result = search(source)
    assert [each.relative_orbit for each in result.passes] == [51, 2, 1]


def test_cloudy_passes_are_left_out_with_a_note(tmp_path: Path) -> None:
    items = [optical_item("2024-11-02T10:51:29Z", WIDE, cloud=84), optical_item("2024-11-05T10:51:29Z", WIDE, cloud=20)]
    with catalogue(tmp_path, items) as (_, source):
        result = search(source, sensors="optical")
        assert [each.cloud_share for each in result.passes] == [pytest.approx(0.2)]
        assert result.notes == ("optical passes with more than 60 % cloud are left out: 2024-11-02 with 84 %",)
        assert len(search(source, sensors="optical", max_cloud=90).passes) == 2


def test_passes_that_are_all_too_cloudy_are_not_said_to_be_missing(tmp_path: Path) -> None:
    items = [radar_item("2024-11-01T06:00:00Z", WIDE), optical_item("2024-11-02T10:51:29Z", WIDE, cloud=10)]
    with catalogue(tmp_path, items) as (_, source):
        notes = search(source, max_cloud=5).notes
    assert notes == (
        "optical passes with more than 5 % cloud are left out: 2024-11-02 with 10 %",
        "local has no optical pass with at most 5 % cloud over the box -0.6 39.2 -0.2 39.6 from 2024-10-31 to "
        "2024-11-06 (none within 60 days); a larger `max_cloud` keeps cloudier passes",
    )


def test_nothing_found_names_the_nearest_dates(tmp_path: Path) -> None:
    items = [
        radar_item("2024-10-01T06:00:00Z", WIDE),
        radar_item("2024-10-28T06:00:00Z", WEST),
        radar_item("2024-11-09T06:00:00Z", WIDE),
    ]
    with catalogue(tmp_path, items) as (_, source), pytest.raises(DataError) as caught:
        search(source, sensors="sar")
    assert str(caught.value) == (
        "local has no radar pass over the box -0.6 39.2 -0.2 39.6 from 2024-10-31 to 2024-11-06 (the nearest dates "
        "with one are 2024-10-28 (sentinel-1a, 50 % of the area) and 2024-11-09 (sentinel-1a, 100 % of the area)); set "
        "other dates with `date` or `dates`, or another `source`"
    )


def test_nothing_near_is_reported(tmp_path: Path) -> None:
    with catalogue(tmp_path, []) as (_, source), pytest.raises(DataError, match="none within 60 days"):
        search(source, sensors="sar")


def test_a_sensor_without_passes_is_a_note_beside_the_other(tmp_path: Path) -> None:
    items = [radar_item("2024-11-01T06:00:00Z", WIDE), optical_item("2024-11-12T10:51:29Z", WIDE)]
    with catalogue(tmp_path, items) as (_, source):
        result = search(source)
    assert [each.sensor for each in result.passes] == ["sar"]
    (note,) = result.notes
    assert "has no optical pass" in note
    assert "2024-11-12 (sentinel-2b" in note


def test_the_end_of_the_last_day_is_included_and_the_next_day_is_not(tmp_path: Path) -> None:
    items = [radar_item(f"2024-{time}Z", WIDE, orbit=orbit) for orbit, time in
             enumerate(("10-30T23:59:59", "10-31T00:00:00", "11-06T23:59:59", "11-07T00:00:00"))]  # fmt: skip
    with catalogue(tmp_path, items) as (_, source):
        for settings in (PERIOD, {"dates": None, "date": "2024-10-31", "window": "6d"}):
            result = search(source, sensors="sar", **settings)
            assert {each.relative_orbit for each in result.passes} == {1, 2}


def test_both_sides_of_the_180th_meridian_are_searched(tmp_path: Path) -> None:
    items = [
        radar_item("2024-11-01T06:00:00Z", (178.0, -18.0, 180.0, -15.0), name="west"),
        radar_item("2024-11-01T06:00:25Z", (-180.0, -18.0, -178.0, -15.0), name="east"),
    ]
    with catalogue(tmp_path, items) as (server, source):
        result = search(source, sensors="sar", bbox=(179.5, -17, -179.5, -16))
    assert ids(result) == {"west", "east"}
    assert result.passes[0].covered_share == pytest.approx(1)
    assert [query["bbox"] for _, query in server.requests] == [[179.5, -17, 180, -16], [-180, -17, -179.5, -16]]


def test_document_holds_passes_items_and_no_signature(tmp_path: Path) -> None:
    with catalogue(tmp_path, [radar_item("2024-11-01T06:00:00Z", WIDE)]) as (_, source):
        document = search(source, sensors="sar").document()
    (found,) = document["passes"]
    assert (found["platform"], found["relative_orbit"], found["covered_share"]) == ("sentinel-1a", 8, 1.0)
    assert found["items"][0]["href"].startswith("https://catalogue.example/collections/sentinel-1-rtc/items/S1A")
    assert "secret" not in repr(document)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plcae": "Valencia, ES"}, "`plcae`: is not a setting; did you mean `place`?"),
        ({"bbox": "1 2 3"}, "`bbox=1 2 3`: must be four numbers"),
        ({"bbox": (0, 41, 1, 40)}, "`bbox=0 41 1 40`: must be west, south, east and north in degrees"),
        ({"place": "Valencia, ES"}, "`bbox`: has no effect with `place`"),
        ({"radius": "20km"}, "`radius=20km`: has no effect without `place`"),
        ({"date": "2024-10-31"}, "`dates`: has no effect with `date`"),
        ({"dates": "2024-10-31"}, "`dates=2024-10-31`: must be two days"),
        ({"dates": "2024-10-31/2024-10-30"}, "must be a first day and a last day that is not before it"),
        ({"dates": None, "date": "31.10.2024"}, "`date=31.10.2024`: must be a day, such as 2024-10-31"),
        ({"dates": None, "date": "2024-10-31", "window": "6w"}, "`window=6w`: must be a number of days"),
        ({"dates": None}, "no day is set; set `date`"),
        ({"bbox": None}, "no area is set; set `place`"),
        ({"bbox": None, "place": "Valencia, ES", "radius": "300km"}, "`radius=300km`: must be above 0 and at most 250"),
        ({"max_cloud": 101}, "`max_cloud=101`: must be from 0 to 100"),
        ({"sensors": "radar"}, "`sensors=radar`: must be one of both, sar, optical"),
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        floodseg.search(**{**SETTINGS, **settings})
    assert message in str(caught.value)
