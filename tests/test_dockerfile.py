"""RUN lines of the Dockerfile in a fresh virtual environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from document_blocks import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def stage(name: str) -> str:
    """Return the instructions of a stage."""
    return re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM|\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


def copied() -> list[str]:
    """Return the files and folders that the image gets."""
    return [word for line in re.findall(r"^COPY (.+)$", TEXT, re.MULTILINE) for word in line.split()[:-1]]


def test_copied_files_are_part_of_the_build_context() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert allowed[0] == "*"
    assert {f"!{name}" for name in copied()} <= set(allowed)
    assert all((ROOT / name).exists() for name in copied())


def test_commands_start_in_the_folder_of_the_files() -> None:
    assert stage("core").rstrip().endswith('WORKDIR /data\nENTRYPOINT ["floodseg"]')
    assert stage("training").rstrip().endswith("WORKDIR /data")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command"),
    [("core", ["demo", "--out-dir", "demo"]), ("training", ["train", "recipes/demo.toml", "--epochs", "1"])],
)
def test_run_lines_install_a_package_that_works(name: str, command: list[str], tmp_path: Path) -> None:
    for item in copied():
        source = ROOT / item
        if source.is_dir():
            shutil.copytree(source, tmp_path / item, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, tmp_path / item)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=tmp_path, check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{environment['PATH']}"
    lines = [line for line in re.findall(r"^RUN (.+)$", stage(name), re.MULTILINE) if "apt-get" not in line]
    assert len(lines) == 1
    for line in lines:
        subprocess.run(line, shell=True, cwd=tmp_path, env=environment, check=True)
    subprocess.run(["floodseg", *command], cwd=tmp_path, env=environment, check=True)
