"""Download of Sen1Floods11 from a local bucket with injected faults."""

import _thread
import errno
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scenes
from bucket_server import BucketServer, Fault, serving
from floodseg.app import cli
from floodseg.config.data import DataConfig
from floodseg.config.download import DownloadConfig
from floodseg.datasets.download import sen1floods11 as module
from floodseg.datasets.download.sen1floods11 import download_sen1floods11
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError, DataError, FloodsegError

HAND = "v1.1/data/flood_events/HandLabeled"
SPLITS = "v1.1/splits/flood_handlabeled"
FOLDERS = ("S1Hand", "S2Hand", "LabelHand", "JRCWaterHand")
S1 = f"{HAND}/S1Hand/Sri-Lanka_0_S1Hand.tif"
S2 = f"{HAND}/S2Hand/Sri-Lanka_1_S2Hand.tif"
OTHERS = {
    f"{HAND}/S1Hand/.DS_Store": b"x",
    f"{HAND}/S1Hand/old/a_S1Hand.tif": b"x",
    f"{HAND}/S1OtsuLabelHand/a.tif": b"x",
    "v1.1/data/flood_events/WeaklyLabeled/S1Weak/a.tif": b"x",
}


def bucket_files(chips: int = 2, size: int = 40_000) -> dict[str, bytes]:
    """Return files of the hand-labelled part, with several sizes."""
    rng = np.random.default_rng(0)
    names = [f"Sri-Lanka_{number}" for number in range(chips)]
    files = {
        f"{HAND}/{folder}/{name}_{folder}.tif": rng.bytes(size + 100 * index)
        for folder in FOLDERS
        for index, name in enumerate(names)
    }
    rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names)
    return {**files, f"{SPLITS}/flood_train_data.csv": rows.encode()}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use no proxy and short timeouts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_TIMEOUTS", {"read_timeout": "500ms"})
    wait = timedelta(milliseconds=10)
    backoff = {"init_backoff": wait, "max_backoff": wait, "base": 2}
    monkeypatch.setattr(module, "_RETRIES", {**module._RETRIES, "backoff": backoff})


@pytest.fixture
def bucket() -> Iterator[BucketServer]:
    with serving(bucket_files() | OTHERS) as server:
        yield server


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch(bucket: BucketServer, out_dir: Path, **settings: Any) -> str:
    return download_sen1floods11(DownloadConfig(out_dir=out_dir, base_url=bucket.url, **settings))


def refused(bucket: BucketServer, out_dir: Path, **settings: Any) -> str:
    """Return the one-sentence error of a refused download."""
    with pytest.raises(FloodsegError) as caught:
        fetch(bucket, out_dir, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def requests(bucket: BucketServer) -> Counter[str]:
    return Counter(name for name, _ in bucket.requests)


def run(*arguments: str) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["data", "download", "sen1floods11", *arguments])
    return stop.value.code


def test_all_files_are_fetched_with_one_request_each(bucket: BucketServer, tmp_path: Path) -> None:
    assert "9 of them, 0.3 MB, were downloaded in this run" in fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert set(requests(bucket).values()) == {1}


def test_complete_files_are_not_requested_again_and_damaged_ones_are_found(
    bucket: BucketServer, tmp_path: Path
) -> None:
    fetch(bucket, tmp_path, sensors="sar")
    assert tree(tmp_path) == {name: body for name, body in bucket_files().items() if "S2Hand" not in name}
    fetch(bucket, tmp_path)
    assert set(requests(bucket).values()) == {1}
    assert "0 of them, 0.0 MB, were downloaded in this run" in fetch(bucket, tmp_path)
    (tmp_path / S2).write_bytes(bytes(len(bucket.files[S2])))
    assert refused(bucket, tmp_path).startswith(
        f"{tmp_path}: 1 files differ from those on the server, the first is {tmp_path / S2}; set `overwrite`"
    )
    assert tree(tmp_path)[S2] == bytes(len(bucket.files[S2]))
    fetch(bucket, tmp_path, overwrite=True)
    assert tree(tmp_path) == bucket_files()
    assert requests(bucket)[S2] == 2


def test_list_of_several_pages(tmp_path: Path) -> None:
    files = bucket_files(chips=7, size=50)
    with serving(files, page_size=3) as bucket:
        fetch(bucket, tmp_path)
    assert tree(tmp_path) == files
    assert bucket.listed == 4 * 3 + 1


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([Fault(cut=0)], [None, "bytes=0-39999"]),
        ([Fault(cut=12_345), Fault(cut=20_000)], [None, "bytes=12345-39999", "bytes=20000-39999"]),
        ([Fault(status=503), Fault(status=429)], [None, None, None]),
        ([Fault(cut=7_000, stall=True)], [None, "bytes=7000-39999"]),
    ],
)
def test_broken_transfers_are_continued(
    bucket: BucketServer, tmp_path: Path, faults: list[Fault], ranges: list[str | None]
) -> None:
    bucket.faults[S1] = faults
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert [span for name, span in bucket.requests if name == S1] == ranges


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=503), "503 Service Unavailable"),
        (Fault(status=404), "404 Not Found"),
        (Fault(cut=0), "response body error: IncompleteBody"),
        (Fault(body=b"x" * 40_000), "with another size or MD5 than it lists"),
        (Fault(body=b"log in, please"), "with another size or MD5 than it lists"),
    ],
)
def test_a_failed_transfer_is_one_sentence_and_leaves_no_file(
    bucket: BucketServer, tmp_path: Path, fault: Fault, reason: str
) -> None:
    bucket.faults[S1] = [fault] * 10
    message = refused(bucket, tmp_path, transfers=1)
    assert S1 in message
    assert reason in message
    assert "run the same command again to continue" in message
    assert requests(bucket)[S1] <= 8
    assert {name: body for name, body in bucket_files().items() if "S1" not in name and "S2" not in name}.items() <= (
        found := tree(tmp_path)
    ).items()
    assert found.items() <= bucket_files().items()
    bucket.faults.clear()
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()


def test_file_without_checksum_is_checked_by_size(
    bucket: BucketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.md5s[S1] = "CKih16GjycICEAE="
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == bucket_files()
    assert "1 files are listed without MD5" in caplog.text


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            "<ListBucketResult></ListBucketResult>",
            f"lists no file in {SPLITS}; set `base_url` to a mirror of gs://sen1floods11",
        ),
        ("<html><p>log in", "the list of gs://sen1floods11 cannot be read"),
        ('{"items": []}', "the list of gs://sen1floods11 cannot be read"),
    ],
)
def test_list_without_files_is_refused(bucket: BucketServer, tmp_path: Path, page: str, message: str) -> None:
    bucket.change_list = lambda _: page
    assert message in refused(bucket, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["../../x.tif", "old/../x.tif", "/etc/x.tif"])
def test_list_with_a_name_outside_of_the_bucket_is_refused(bucket: BucketServer, tmp_path: Path, name: str) -> None:
    bucket.change_list = lambda page: page.replace("Sri-Lanka_0_S1Hand.tif", name)
    assert "the list of gs://sen1floods11 cannot be read" in refused(bucket, tmp_path / "data")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["..\\x.tif", ".x.tif", "x.exe"])
def test_files_with_unexpected_names_are_not_fetched(bucket: BucketServer, tmp_path: Path, name: str) -> None:
    bucket.change_list = lambda page: page.replace("Sri-Lanka_0_S1Hand.tif", name)
    fetch(bucket, tmp_path)
    assert tree(tmp_path) == {file: body for file, body in bucket_files().items() if file != S1}


def test_free_space_is_checked_before_the_download(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    message = refused(bucket, tmp_path)
    assert message.startswith(f"{tmp_path}: has 0.1 MB free, but 0.3 MB are needed; free space")
    assert not bucket.requests


def test_a_full_disk_is_one_sentence_and_leaves_no_file(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "sync", fail)
    assert run("--out-dir", str(tmp_path), "--base-url", bucket.url) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    # files are fetched in parallel, so any of them may be the first one to fail
    messages = {
        f"floodseg: error: {tmp_path / name}: No space left on device; free space, change permissions or choose "
        "another path"
        for name in bucket.files
    }
    assert last in messages
    assert tree(tmp_path) == {}


@pytest.mark.usefixtures("default_sigint")
def test_killed_and_interrupted_downloads_continue_and_a_second_one_is_refused(tmp_path: Path) -> None:
    files = bucket_files(chips=3, size=100_000)

    def check_complete_files() -> set[str]:
        found = tree(tmp_path)
        names = found.keys() & files.keys()
        assert names
        assert {name: found[name] for name in names} == {name: files[name] for name in names}
        return names

    def interrupt() -> None:
        while bucket.sent < 700_000:
            time.sleep(0.01)
        _thread.interrupt_main()

    with serving(files, always=Fault(delay=0.002)) as bucket:
        line = ["data", "download", "sen1floods11", "--out-dir", str(tmp_path), "--base-url", bucket.url]
        process = subprocess.Popen([sys.executable, "-m", "floodseg", *line, "--transfers", "2"])
        while bucket.sent < 250_000:
            time.sleep(0.01)
        assert "another run downloads into this folder" in refused(bucket, tmp_path)
        process.kill()
        process.wait(timeout=10)
        check_complete_files()
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            fetch(bucket, tmp_path, transfers=2)
        names = check_complete_files()
        assert tree(tmp_path).keys() == names
        bucket.always = None
        assert f"{len(files) - len(names)} of them" in fetch(bucket, tmp_path)
    assert tree(tmp_path) == files


def test_command_reports_progress_and_result(
    bucket: BucketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("--out-dir", str(tmp_path), "--base-url", bucket.url, "--sensors", "sar", "--transfers", "2") == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}: 7 files (1 in flood_handlabeled, 2 in LabelHand, 2 in JRCWaterHand, 2 in S1Hand), 0.2 MB, are "
        "complete; 7 of them, 0.2 MB, were downloaded in this run\n"
    )
    lines = [record.getMessage() for record in caplog.records if record.name == "floodseg"]
    assert lines[0] == f"{tmp_path}: 7 files, 0.2 MB, to download"
    assert lines[-1] == f"{tmp_path}: 100 % downloaded"


def test_missing_network_is_one_sentence_with_the_remedy_and_exit_code_2(
    tmp_path: Path, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data {x}"
    assert run("--out-dir", str(folder), "--base-url", f"http://127.0.0.1:{closed_port}") == 2
    assert capsys.readouterr().err == (
        f"floodseg: error: 127.0.0.1:{closed_port}: the list of gs://sen1floods11 cannot be read (HTTP error: error "
        "sending request: Connection refused); connect to the network, set --base-url to a mirror that serves the XML "
        f"API of the bucket, or copy {HAND} and {SPLITS} of the bucket to the same places in {folder}\n"
    )
    assert not folder.exists()


def test_a_missing_package_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert run("--out-dir", str(tmp_path)) == 2
    assert "needs obstore, which is not installed; pip install 'floodseg[train]'" in capsys.readouterr().err


def test_the_proxy_is_used_and_credentials_are_not(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", bucket.url.replace("://", "://user:secret@"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    config = DownloadConfig(out_dir=tmp_path, base_url="http://bucket.invalid")
    bucket.faults[S1] = [Fault(status=404)]
    with pytest.raises(DataError, match="404") as caught:
        download_sen1floods11(config)
    assert "secret" not in str(caught.value)
    download_sen1floods11(config)
    assert tree(tmp_path) == bucket_files()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "https://user:secret@host/x"}, r"`base_url=https://host`: must be .*without user name"),
        ({"base_url": "https://user:secret@host:port"}, r"`base_url`: must be .*without user name"),
        ({"base_url": "https://host/?token=secret"}, r"`base_url=https://host`: must be http"),
        ({"base_url": "file:///data"}, "must be http"),
        ({"transfers": 0}, "`transfers=0`: must be from 1 to 64"),
        ({"sensors": "radar"}, "`sensors=radar`: must be one of both, sar, optical"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DownloadConfig(out_dir=tmp_path, **settings)
    assert "secret" not in str(caught.value)


def test_the_downloaded_tree_opens_as_layout_sen1floods11(tmp_path: Path) -> None:
    source, name = tmp_path / "source", "Ghana_1"
    scenes.write_sar(source / HAND / f"S1Hand/{name}_S1Hand.tif")
    scenes.write_optical(source / HAND / f"S2Hand/{name}_S2Hand.tif")
    scenes.write_label(source / HAND / f"LabelHand/{name}_LabelHand.tif")
    scenes.write_label(source / HAND / f"JRCWaterHand/{name}_JRCWaterHand.tif")
    (source / SPLITS).mkdir(parents=True)
    (source / SPLITS / "flood_train_data.csv").write_text(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n")
    with serving(tree(source)) as bucket:
        fetch(bucket, tmp_path / "copy")
    original, copy = (open_layout(DataConfig(data=tmp_path / folder), "train") for folder in ("source", "copy"))
    assert copy.names == (name,)
    assert (copy.bands.sar, len(copy.bands.optical)) == (("VV", "VH"), 13)
    for part in ("sar", "optical", "sar_valid", "optical_valid", "label"):
        np.testing.assert_array_equal(getattr(copy.read(0), part), getattr(original.read(0), part))
