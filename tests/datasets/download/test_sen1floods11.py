"""The download of Sen1Floods11 against a bucket on this machine that misbehaves."""

import _thread
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scenes
from bucket_server import BucketServer, Fault, serving
from floodseg.app import cli
from floodseg.config.download import DownloadConfig
from floodseg.config.train import DataConfig
from floodseg.datasets.download import sen1floods11 as module
from floodseg.datasets.download.bucket import Patience
from floodseg.datasets.download.sen1floods11 import Download, download_sen1floods11
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError, DataError

HAND = "v1.1/data/flood_events/HandLabeled"
SPLITS = "v1.1/splits/flood_handlabeled"
QUICK = Patience(timeout_s=0.5, first_wait_s=0.01, longest_wait_s=0.05, list_s=5, silence_s=5)
FOLDERS = ("S1Hand", "S2Hand", "LabelHand", "JRCWaterHand")


def bucket_files(chips: int = 2, size: int = 40_000) -> dict[str, bytes]:
    """Files of the hand-labelled part, of several sizes, with things beside them that are none of its chips."""
    rng = np.random.default_rng(0)
    names = [f"Sri-Lanka_{number}" for number in range(chips)]
    files = {
        f"{HAND}/{folder}/{name}_{folder}.tif": rng.bytes(size + 100 * index)
        for folder in FOLDERS
        for index, name in enumerate(names)
    }
    rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names)
    return {**files, f"{SPLITS}/flood_train_data.csv": rows.encode()}


OTHERS = {
    f"{HAND}/S1Hand/": b"",
    f"{HAND}/S1Hand/.DS_Store": b"x",
    f"{HAND}/S1Hand/old/a_S1Hand.tif": b"x",
    f"{HAND}/S1OtsuLabelHand/a.tif": b"x",
    "v1.1/data/flood_events/WeaklyLabeled/S1Weak/a.tif": b"x",
}
S1 = f"{HAND}/S1Hand/Sri-Lanka_0_S1Hand.tif"
S2 = f"{HAND}/S2Hand/Sri-Lanka_1_S2Hand.tif"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def bucket() -> Iterator[BucketServer]:
    with serving(bucket_files() | OTHERS) as server:
        yield server


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch(bucket: BucketServer, out_dir: Path, **settings: Any) -> Download:
    config = DownloadConfig(out_dir=out_dir, base_url=bucket.url, **settings)
    return download_sen1floods11(config, patience=QUICK)


def refused(bucket: BucketServer, out_dir: Path, **settings: Any) -> str:
    """Return the one sentence with which a download is refused."""
    with pytest.raises(DataError) as caught:
        fetch(bucket, out_dir, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def requests(bucket: BucketServer) -> Counter[str]:
    return Counter(name for name, _ in bucket.asked)


def test_tree_is_what_the_bucket_holds_and_each_file_is_asked_for_once(bucket: BucketServer, tmp_path: Path) -> None:
    done = fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert set(requests(bucket)) == set(bucket_files())
    assert set(requests(bucket).values()) == {1}
    assert len(bucket.listed) == 5
    size = sum(map(len, bucket_files().values()))
    assert (done.files.total(), done.size, done.fetched_files, done.fetched_bytes) == (9, size, 9, size)
    assert "9 files (1 in flood_handlabeled, 2 in LabelHand, 2 in JRCWaterHand, 2 in S1Hand, 2 in S2" in done.sentence


def test_what_is_complete_is_not_asked_for_again(bucket: BucketServer, tmp_path: Path) -> None:
    fetch(bucket, tmp_path)
    (tmp_path / S2).unlink()
    bucket.asked.clear()
    assert fetch(bucket, tmp_path).fetched_files == 1
    assert requests(bucket) == {S2: 1}
    assert fetch(bucket, tmp_path).fetched_bytes == 0
    assert requests(bucket) == {S2: 1}


@pytest.mark.parametrize(("sensors", "lacking"), [("sar", "S2Hand"), ("optical", "S1Hand")])
def test_one_sensor_comes_with_labels_and_splits(
    bucket: BucketServer, tmp_path: Path, sensors: str, lacking: str
) -> None:
    fetch(bucket, tmp_path, sensors=sensors)
    assert tree(tmp_path) == {name: body for name, body in bucket_files().items() if lacking not in name}
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert set(requests(bucket).values()) == {1}


def test_list_of_several_pages(tmp_path: Path) -> None:
    files = bucket_files(chips=7, size=50)
    with serving(files, page_size=3) as bucket:
        fetch(bucket, tmp_path)
    assert tree(tmp_path) == files
    assert len(bucket.listed) == 4 * 3 + 1


def test_one_file_may_stand_for_every_list(tmp_path: Path) -> None:
    """A mirror of plain files answers each list alike, next page included."""
    with serving(bucket_files() | OTHERS) as bucket:
        whole = bucket.page({"prefix": ["v1.1/"]})
        assert isinstance(whole, dict)
        bucket.listing = lambda _: {**whole, "nextPageToken": "again"}
        fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()


@pytest.mark.parametrize(
    ("faults", "tries"),
    [
        ([Fault(cut=0)], 2),
        ([Fault(cut=12_345), Fault(cut=3)], 3),
        ([Fault(cut=39_999)], 2),
        ([Fault(status=503), Fault(status=500)], 3),
        ([Fault(status=429, retry_after="0")], 2),
        ([Fault(cut=7_000, stall=True)], 2),
        ([Fault(cut=0, stall=True)], 2),
        ([Fault(cut=5_000), Fault(no_range=True)], 2),
        ([Fault(cut=5_000), Fault(status=416)], 3),
        ([Fault(cut=30_000), Fault(cut=5_000, no_range=True)], 3),
        ([Fault(body=b"x" * 40_000)], 2),  # right size, wrong content
        ([Fault(body=b"y" * 40_000, cut=100)], 3),  # the rest is right, so the whole is wrong once more
        ([Fault(body=b"log in, please")], 2),
        ([Fault(body=b"x" * 50_000)], 2),
        ([Fault(cut=100), Fault(body=b"z" * 30_000)], 3),  # another file in the middle of a transfer
    ],
)
def test_file_that_goes_wrong_is_whole_in_the_end(
    bucket: BucketServer, tmp_path: Path, faults: list[Fault], tries: int
) -> None:
    bucket.faults[S1] = faults
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert requests(bucket)[S1] == tries
    assert sum(requests(bucket).values()) == len(bucket_files()) - 1 + tries


def test_broken_transfer_goes_on_where_it_stopped(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.faults[S1] = [Fault(cut=15_000), Fault(cut=10_000)]
    done = fetch(bucket, tmp_path)
    assert [span for name, span in bucket.asked if name == S1] == [None, "bytes=15000-", "bytes=25000-"]
    assert done.fetched_bytes == done.size


def test_list_is_asked_for_again_after_a_fault(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.list_faults = [Fault(status=503), Fault(cut=20), Fault(cut=0)]
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert len(bucket.listed) == 5 + 3


def test_file_that_is_not_there_does_not_stop_the_others(tmp_path: Path) -> None:
    with serving(bucket_files()) as bucket:
        bucket.faults[S1] = [Fault(status=404)]
        message = refused(bucket, tmp_path)
        assert message.startswith(f"{tmp_path}: the data set is not complete yet ({S1}: the server answered 404 Not Fo")
        assert requests(bucket)[S1] == 1
        expected = bucket_files()
        del expected[S1]
        assert tree(tmp_path) == expected
        fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()


def test_server_that_only_fails_is_given_up_in_bounded_requests(tmp_path: Path) -> None:
    with serving(bucket_files(chips=10, size=10), always=Fault(status=503)) as bucket:
        message = refused(bucket, tmp_path, transfers=1)
        assert "503 Service Unavailable, and 4 more); run the same command again" in message
        assert 5 * QUICK.tries <= sum(requests(bucket).values()) <= 6 * QUICK.tries
    assert tree(tmp_path) == {}


def test_wrong_checksum_in_the_list_keeps_nothing(bucket: BucketServer, tmp_path: Path) -> None:
    def other(page: dict[str, Any]) -> object:
        for item in page.get("items", []):
            if item["name"] == S1:
                item["md5Hash"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        return page

    bucket.listing = other
    assert "what came is not what the list of the server describes (MD5)" in refused(bucket, tmp_path)
    assert requests(bucket)[S1] == QUICK.tries
    assert S1 not in tree(tmp_path)
    assert not [name for name in tree(tmp_path) if "part" in name]


def test_file_without_checksum_is_checked_by_size(
    bucket: BucketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def bare(page: dict[str, Any]) -> object:
        for item in page.get("items", []):
            del item["md5Hash"]
        return page

    bucket.listing = bare
    bucket.faults[S1] = [Fault(cut=15_000)]
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert "lists 9 files without MD5" in caplog.text
    # nothing says that two parts belong together
    assert [span for name, span in bucket.asked if name == S1] == [None, None]


def test_changed_file_is_not_mixed_with_its_part(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.faults[S1] = [Fault(cut=15_000), Fault(status=404)]
    refused(bucket, tmp_path)
    (part,) = (tmp_path / S1).parent.glob("*.part")
    assert part.read_bytes() == bucket.files[S1][:15_000]
    bucket.files[S1] = bytes(reversed(bucket.files[S1]))
    bucket.asked.clear()
    fetch(bucket, tmp_path)
    assert bucket.asked == [(S1, None)]
    assert tree(tmp_path) == bucket_files() | {S1: bucket.files[S1]}


@pytest.mark.parametrize("length", [40_000, 50_000])
def test_part_that_is_full_or_too_long_is_checked(bucket: BucketServer, tmp_path: Path, length: int) -> None:
    bucket.faults[S1] = [Fault(cut=15_000), Fault(status=404)]
    refused(bucket, tmp_path)
    (part,) = (tmp_path / S1).parent.glob("*.part")
    part.write_bytes((bucket.files[S1] + b"x" * 10_000)[:length])
    bucket.asked.clear()
    fetch(bucket, tmp_path)
    assert len(bucket.asked) == (0 if length == 40_000 else 1)
    assert tree(tmp_path) == bucket_files()


def test_files_that_differ_are_replaced_on_demand_alone(bucket: BucketServer, tmp_path: Path) -> None:
    (tmp_path / S1).parent.mkdir(parents=True)
    (tmp_path / S1).write_bytes(b"mine")
    message = refused(bucket, tmp_path)
    assert message.startswith(f"{tmp_path / S1}: differs from the file of the server")
    assert "--overwrite" in message
    assert tree(tmp_path) == {S1: b"mine"}
    assert not bucket.asked
    fetch(bucket, tmp_path, overwrite=True)
    assert tree(tmp_path) == bucket_files()


@pytest.mark.parametrize(
    "name", ["../../x", f"{HAND}/S1Hand/../x.tif", "/etc/x", f"{HAND}/S1Hand/..\\x.tif", "a\nb", 5]
)
def test_names_that_lead_out_of_the_folder_are_refused(bucket: BucketServer, tmp_path: Path, name: object) -> None:
    bucket.listing = lambda page: {"items": [*page.get("items", []), {"name": name, "size": "1"}]}
    message = refused(bucket, tmp_path / "data")
    assert f"lists a file named {name!r}; a name must stay within its folder" in message
    assert not bucket.asked
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (lambda _: {}, f"lists no file in {SPLITS}; --base-url must serve gs://sen1floods11"),
        (lambda _: [], "does not answer with the list of a bucket"),
        (lambda _: {"items": "x"}, "does not answer with the list of a bucket"),
        (lambda _: {"items": [{"name": f"{SPLITS}/a.csv", "size": "-1"}]}, "a.csv with size -1 and md5Hash None"),
        (lambda _: {"items": [{"name": f"{SPLITS}/a.csv", "size": "1", "md5Hash": "?"}]}, "md5Hash ?; the size must"),
    ],
)
def test_list_that_is_none_is_refused(bucket: BucketServer, tmp_path: Path, listing: Any, message: str) -> None:
    bucket.listing = listing
    assert message in refused(bucket, tmp_path)
    assert not bucket.asked


def test_web_page_in_place_of_the_list_is_told(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.listing = lambda _: None
    assert "a network that asks for a login must be logged into first" in refused(bucket, tmp_path)


def test_server_that_cannot_be_reached_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = refused(BucketServer({}, url=f"http://127.0.0.1:{port}"), tmp_path / "data")
    assert message == (
        f"127.0.0.1:{port}: the list of gs://sen1floods11 cannot be had (Connection refused); connect to the network, "
        f"name a mirror with --base-url, or bring {HAND} and {SPLITS} of the bucket by other means to the same places "
        f"in {tmp_path / 'data'}"
    )
    assert not (tmp_path / "data").exists()


def test_server_that_never_answers_is_given_up_in_time(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time-outs of sockets do not cover the look-up of a name."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: bucket.end.wait(10) and [])
    start = time.monotonic()
    config = DownloadConfig(out_dir=tmp_path, base_url="http://host.invalid")
    with pytest.raises(DataError, match=r"cannot be had \(no answer within 0\.3 s\)"):
        download_sen1floods11(config, patience=Patience(list_s=0.3))
    assert time.monotonic() - start < 3


def test_silence_ends_the_download(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.always = Fault(cut=100, stall=True)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"no byte came for 0\.4 s"):
        download_sen1floods11(
            DownloadConfig(out_dir=tmp_path, base_url=bucket.url), patience=Patience(timeout_s=1.5, silence_s=0.4)
        )
    assert time.monotonic() - start < 5
    bucket.always = None
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()


def test_room_is_checked_before_anything_is_fetched(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 50_100_000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    message = refused(bucket, tmp_path)
    assert message.startswith(f"{tmp_path}: has 50.1 MB free, and 50.3 MB are needed; free space")
    assert not bucket.asked


def test_disk_that_fills_up_names_the_file(bucket: BucketServer, tmp_path: Path) -> None:
    (tmp_path / HAND).mkdir(parents=True)
    (tmp_path / HAND / "S1Hand").write_text("a file in the place of a folder")
    with pytest.raises(OSError, match="S1Hand") as caught:
        fetch(bucket, tmp_path)
    assert isinstance(caught.value, NotADirectoryError | FileExistsError)


def test_second_download_into_the_folder_is_refused(bucket: BucketServer, tmp_path: Path) -> None:
    bucket.always = Fault(delay=0.02)
    first = threading.Thread(target=fetch, args=(bucket, tmp_path))
    first.start()
    while not bucket.asked:
        time.sleep(0.01)
    assert "another download into this folder is under way" in refused(bucket, tmp_path)
    first.join()
    assert tree(tmp_path) == bucket_files()


def test_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    files = bucket_files(chips=3, size=200_000)
    size = sum(map(len, files.values()))
    with serving(files, always=Fault(delay=0.004)) as bucket:
        line = ["-m", "floodseg", "data", "download", "sen1floods11", "--out-dir", str(tmp_path), "--transfers", "3"]
        process = subprocess.Popen([sys.executable, *line, "--base-url", bucket.url])
        while bucket.sent < size / 2:
            time.sleep(0.01)
        assert process.poll() is None
        process.kill()
        process.wait(timeout=10)
        check_rest(bucket, tmp_path)


@pytest.mark.usefixtures("takes_interrupts")
def test_interrupted_download_is_gone_on_with(tmp_path: Path) -> None:
    files = bucket_files(chips=3, size=200_000)

    def interrupt() -> None:
        while bucket.sent < 1_300_000:
            time.sleep(0.01)
        _thread.interrupt_main()

    with serving(files, always=Fault(delay=0.004)) as bucket:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            fetch(bucket, tmp_path)
        assert not list(tmp_path.glob(".*"))
        check_rest(bucket, tmp_path)


def check_rest(bucket: BucketServer, out_dir: Path) -> None:
    """Check that only whole files have their names, and that the rest alone is fetched now."""
    there = tree(out_dir)
    named = there.keys() & bucket.files.keys()
    assert {name: there[name] for name in named} == {name: bucket.files[name] for name in named}
    assert all(name.endswith((".part", ".lock")) for name in there.keys() - named)
    kept = sum(len(body) for name, body in there.items() if name.endswith(".part") or name in named)
    assert kept > 0
    bucket.always = None
    time.sleep(0.1)  # answers under way end
    bucket.sent = 0
    done = fetch(bucket, out_dir)
    assert bucket.sent == done.fetched_bytes == done.size - kept
    assert tree(out_dir) == bucket.files


def run(*arguments: str) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["data", "download", "sen1floods11", *arguments])
    return stop.value.code


def test_command_says_what_it_did(bucket: BucketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out-dir", str(tmp_path), "--base-url", bucket.url, "--sensors", "sar", "--transfers", "2") == 0
    said = f"{tmp_path}: 7 files (1 in flood_handlabeled, 2 in LabelHand, 2 in JRCWaterHand, 2 in S1Hand), 0.2 MB, are"
    assert capsys.readouterr().out.startswith(said)
    assert len(tree(tmp_path)) == 7


def test_command_ends_with_2_and_one_sentence_without_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Patience", lambda: QUICK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert run("--out-dir", str(tmp_path), "--base-url", f"http://127.0.0.1:{port}") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"floodseg: error: 127.0.0.1:{port}: the list of gs://sen1floods11 cannot be had")
    assert said.count("\n") == 1


def test_proxy_of_the_environment_is_used(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", bucket.url.replace("://", "://user:secret@"))
    config = DownloadConfig(out_dir=tmp_path, base_url="http://bucket.invalid")
    bucket.faults[S1] = [Fault(status=404)]
    with pytest.raises(DataError, match="not complete yet") as caught:
        download_sen1floods11(config, patience=QUICK)
    assert "secret" not in str(caught.value)
    download_sen1floods11(config, patience=QUICK)
    assert tree(tmp_path) == bucket_files()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "https://user:secret@host/x"}, r"--base-url https://host: must be .*without user name"),
        ({"base_url": "https://user:secret@host:port"}, r"--base-url: must be .*without user name"),
        ({"base_url": "https://host/?token=secret"}, r"--base-url https://host: must be http"),
        ({"base_url": "file:///data"}, "must be http"),
        ({"base_url": "host"}, "must be http"),
        ({"transfers": 0}, "--transfers 0: must be from 1 to 64"),
        ({"sensors": "radar"}, "--sensors radar: must be one of both, sar, optical"),
    ],
)
def test_settings_that_cannot_be_followed(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DownloadConfig(out_dir=tmp_path, **settings)
    assert "secret" not in str(caught.value)


def test_downloaded_tree_is_the_layout_sen1floods11(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("Ghana_1", "Spain_2"):
        scenes.write_sar(source / HAND / f"S1Hand/{name}_S1Hand.tif")
        scenes.write_optical(source / HAND / f"S2Hand/{name}_S2Hand.tif")
        scenes.write_label(source / HAND / f"LabelHand/{name}_LabelHand.tif")
        scenes.write_label(source / HAND / f"JRCWaterHand/{name}_JRCWaterHand.tif")
    (source / SPLITS).mkdir(parents=True)
    rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in ("Ghana_1", "Spain_2"))
    (source / SPLITS / "flood_train_data.csv").write_text(rows)
    with serving(tree(source)) as bucket:
        fetch(bucket, tmp_path / "copy")
    original, copy = (open_layout(DataConfig(data=tmp_path / name), "train") for name in ("source", "copy"))
    assert copy.names == ("Ghana_1", "Spain_2")
    assert (copy.bands.sar, len(copy.bands.optical)) == (("VV", "VH"), 13)
    for index in range(2):
        expected, found = original.read(index), copy.read(index)
        for part in ("sar", "optical", "sar_valid", "optical_valid", "label"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


def test_progress_is_lines_in_a_pipe(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("floodseg.system.transfer_progress.PLAIN_INTERVAL_S", 0.0)
    config = DownloadConfig(out_dir=tmp_path, base_url=bucket.url)
    download_sen1floods11(config, patience=QUICK, show_progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0/9 files, 0/0 MB")
    assert lines[-1].startswith("9/9 files, 0/0 MB")
    assert os.linesep not in lines[-1]
