"""Code and commands in README and docs."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import floodseg.app.cli as cli
from exported_models import Exported
from scenes import write_optical, write_sar

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW_PAGES = ("export.md",)
"""Pages whose code takes more than 5 s, as it exports a model."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{number}", text)
        for page in PAGES
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if kind == language
    ]


def write_files_of_export_page(folder: Path, exported: Exported) -> None:
    """Write the files of the commands in docs/export.md, and a scene."""
    shutil.copy(exported.onnx, folder / "flood.onnx")
    for suffix in (".xml", ".bin"):
        shutil.copy(exported.openvino.with_suffix(suffix), folder / f"flood{suffix}")
    write_sar(folder / "S1.tif")
    write_optical(folder / "S2.tif")


def code_blocks() -> list[Any]:
    """Return the Python blocks of all pages as test parameters."""
    return [
        pytest.param(name, code, id=name, marks=[pytest.mark.slow] if name.startswith(SLOW_PAGES) else [])
        for name, code in blocks("python")
    ]


@pytest.mark.parametrize(("name", "code"), code_blocks())
def test_python_blocks_run(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("export.md"):
        write_files_of_export_page(tmp_path, request.getfixturevalue("exported"))
    exec(compile(code, name, "exec"), {})


def commands() -> list[str]:
    lines = [line for _, text in blocks("") for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("floodseg ")})


@pytest.mark.parametrize("line", commands())
def test_commands_exist(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = cli._take_run_file(shlex.split(line)[1:])
    command, _, _ = cli.app.parse_args(arguments, exit_on_error=False, print_error=False)
    name = arguments[1] if arguments[0] in ("cache", "data") else arguments[0]
    assert command.__name__ == name.replace("-", "_")


def test_relative_links_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
