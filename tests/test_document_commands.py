"""Commands of the documentation, run on simulated files in the order of each page."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import floodseg
import floodseg.app.cli as cli
from bucket_server import serving
from document_blocks import ROOT, blocks, pages, words
from document_inputs import write_inputs
from place_scenes import Service, make_world, serving_world

pytestmark = pytest.mark.slow

SMALL = {"--epochs": "1", "--batch-size": "2", "--crop-size": "64", "--crops-per-chip": "1", "--precision": "fp32"}
"""Settings that replace those of trainings."""
OUTPUTS = {"--out-dir", "--out_dir", "--json", "--out"}
RUNS = {
    "floodseg": "recipes/sen1floods11-lite.toml",
    "fused": "recipes/sen1floods11-fused.toml",
    "optical": "recipes/sen1floods11-lite.toml --sensors optical",
    "ombria-sar": "recipes/ombria-dropout.toml --sensors sar --drop-sensor 0",
    "ombria-optical": "recipes/ombria-dropout.toml --sensors optical --drop-sensor 0",
    "ombria-both": "recipes/ombria-dropout.toml --drop-sensor 0",
}
"""Finished trainings that commands start from."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and finished runs with the names in the commands."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    floodseg.predict_scene(sar=folder / "S1.tif", model="s1-lite", datetime="2024-10-19", out_dir=folder / "flood")
    shutil.copy(folder / "flood/flood.tif", folder / "flood.tif")
    shutil.copy(ROOT / "benchmarks/results/many.json", folder)
    shutil.copytree(folder / "DIR", folder / "data")
    for name in ("recipes", "benchmarks", "train_efficient.py"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for name, arguments in RUNS.items():
            command = ["train", *arguments.split(), "--data", "DIR", "--out-dir", f"runs/{name}"]
            assert run(command) == 0, name
    return folder


def run(arguments: list[str]) -> int:
    """Run a command of floodseg, a training with few steps, and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main([*replaced(arguments, SMALL), "--overwrite"] if arguments[0] == "train" else arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def replaced(arguments: list[str], values: dict[str, str]) -> list[str]:
    """Return the arguments of a command with other values of some flags."""
    kept = [word for flag, word in pairwise(["", *arguments]) if word not in values and flag not in values]
    return [*kept, *(word for pair in values.items() for word in pair)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The local catalogue, which stands for those of the commands."""
    folder = tmp_path_factory.mktemp("catalogue")
    with serving_world(make_world(folder / "world"), folder) as running:
        yield running


@pytest.fixture(scope="module")
def bucket(inputs: Path) -> Iterator[str]:
    """The address of a local bucket that stands for that of Sen1Floods11."""
    tree = inputs / "DIR"
    files = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.glob("v1.1/**/*.*")}
    with serving(files) as server:
        yield server.url


def at_local_services(arguments: list[str], service: Service, bucket: str) -> list[str]:
    """Return a command for services of the network as one for those of this machine."""
    if arguments[:2] == ["data", "download"]:
        return [*arguments, "--base-url", bucket]
    here = {"tcp://HOST:8786": "local:1", "20km": "1km", "2024-10-25/2024-11-12": "2024-10-30/2024-11-01"}
    here["Valencia, ES"] = "Adria, IT"
    source = ["--source", str(service.source)] if "--place" in arguments else []
    return [*(here.get(word, word) for word in arguments), *source]


PAGES = [page for page in pages() if any(block.page == page for block in blocks("", "sh"))]
ELSEWHERE = ("pip", "make")
"""Programs whose lines are run by continuous integration and by the test of the Dockerfile."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_run(
    page: Path, inputs: Path, service: Service, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FLOODSEG_CACHE", str(tmp_path / "cache"))
    lines = [line for block in blocks("", "sh") if block.page == page for line in block.lines]
    for number, line in enumerate(lines):
        program, *arguments = words(line)
        if program in ELSEWHERE:
            continue
        for made in OUTPUTS & set(arguments):
            out = Path(arguments[arguments.index(made) + 1])
            if out.exists() and arguments[0] != "data":  # of an earlier command, or an input of one
                out.rename(f"{out}-{number}")
        if program == "python":
            assert run_script(arguments) == 0, line
        elif arguments[0] == "app":
            assert "http://" in first_line_of_the_app(arguments), line
        else:
            assert run(at_local_services(arguments, service, bucket)) == 0, line


def run_script(arguments: list[str]) -> int:
    """Run a script or module in a process of its own, a training with one epoch."""
    if arguments[0] == "train_efficient.py":
        arguments = replaced(arguments, {"--epochs": "1"})
    return subprocess.run([sys.executable, *arguments], check=False).returncode


def first_line_of_the_app(arguments: list[str]) -> str:
    """Start the web app without a browser, and end it after its first line."""
    Path("maps").mkdir(exist_ok=True)
    flags = [*replaced(arguments, {"--port": "0", "--host": "127.0.0.1"}), *({"--no-open"} - set(arguments))]
    command = [sys.executable, "-m", "floodseg", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        assert process.wait(10) in (0, 143)
    return line
