"""Code, commands and links in README and docs."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import floodseg.app.classic as classic
import floodseg.app.cli as cli
from document_blocks import DOCS, ROOT, Block, blocks, pages, words
from exported_models import Exported
from floodseg.models.checkpoint.zoo import shipped_models
from scenes import write_optical, write_sar

COMMANDS = ("", "sh")
"""Languages of blocks of commands."""
LANGUAGES = {*COMMANDS, "python", "toml", "text", "{code-cell}", "{toctree}", "{eval-rst}", "{include}"}
SLOW_PAGES = ("docs/howto/export.md", "docs/howto/export.md")
"""Pages whose code takes more than 5 s, as it exports a model."""


def named(found: list[Block], *slow: str) -> list[Any]:
    return [
        pytest.param(block, id=block.name, marks=[pytest.mark.slow] if block.name.startswith(slow or ("-",)) else [])
        for block in found
    ]


def test_readme_is_read_to_the_end() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_blocks_are_of_known_languages() -> None:
    unknown = {block.name: block.language for block in blocks() if block.language.split(" ")[0] not in LANGUAGES}
    assert unknown == {}


def test_at_most_ten_blocks_are_not_run_and_each_says_why() -> None:
    marked = blocks(marked=True)
    assert 0 < len(marked) <= 10
    assert all(len(str(block.reason).split()) >= 3 for block in marked)


def test_no_command_hides_in_a_block_of_text() -> None:
    commands = re.compile(r"^(floodseg|pip|python|make|docker|torchrun|accelerate) ", re.MULTILINE)
    assert [block.name for block in blocks("text") if commands.search(block.text)] == []


def write_files_of_export_page(folder: Path, exported: Exported) -> None:
    """Write the files of the commands in the page on export, and a scene."""
    shutil.copy(exported.onnx, folder / "flood.onnx")
    for suffix in (".xml", ".bin"):
        shutil.copy(exported.openvino.with_suffix(suffix), folder / f"flood{suffix}")
    write_sar(folder / "S1.tif")
    write_optical(folder / "S2.tif")


@pytest.mark.parametrize("block", named(blocks("python"), *SLOW_PAGES))
def test_python_blocks_run(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if block.name.startswith(SLOW_PAGES):
        write_files_of_export_page(tmp_path, request.getfixturevalue("exported"))
    exec(compile(block.text, block.name, "exec"), {})


@pytest.mark.parametrize("block", named(blocks("toml")))
def test_toml_blocks_are_valid(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", named(blocks(*COMMANDS)))
def test_commands_are_valid(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for line in block.lines:
        program, *arguments = words(line)
        CHECKS[program](arguments)


def check_floodseg(arguments: list[str]) -> None:
    """Parse the arguments of a command; run files are read."""
    given = cli._take_run_file(arguments)
    command, _, _ = cli.app.parse_args(given, exit_on_error=False, print_error=False)
    name = given[1] if given[0] in ("cache", "data") else given[0]
    assert command.__name__.removesuffix("_") == name.replace("-", "_")


def check_python(arguments: list[str]) -> None:
    """Parse the flags of the classic script; other scripts and modules must exist."""
    if arguments[0] == "train_efficient.py":
        classic.app.parse_args(arguments[1:], exit_on_error=False, print_error=False)
    else:
        script = f"{arguments[1].replace('.', '/')}.py" if arguments[0] == "-m" else arguments[0]
        assert (ROOT / script).is_file(), script


def check_pip(arguments: list[str]) -> None:
    """Check that the extras exist."""
    action, target = arguments
    assert action == "install"
    requirement = re.fullmatch(r"(?:\.|floodseg)(?:\[([a-z,]+)\])?", target)
    assert requirement, target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set((requirement[1] or "all").split(",")) <= set(extras)


def check_make(arguments: list[str]) -> None:
    assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


CHECKS = {"floodseg": check_floodseg, "python": check_python, "pip": check_pip, "make": check_make}
"""Check of the arguments of a program. A command of another program fails; its block needs a mark."""


@pytest.mark.parametrize("name", [model.name for model in shipped_models()])
def test_commands_that_remake_a_shipped_model_are_valid(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    data = [f"{variable}={tmp_path}" for variable in ("SEN1FLOODS11", "OPTICAL", "RUNS")]
    make = ["make", "--dry-run", "--no-print-directory", "-f", "tools/release/weights.mk", name, *data]
    printed = subprocess.run(make, check=True, capture_output=True, text=True).stdout
    commands = [words(line) for line in printed.replace("\\\n", "").splitlines()]
    for program, *arguments in commands:
        if program in ("floodseg", "python"):
            CHECKS[program](arguments)
    assert commands[-1] == ["python", "tools/release/describe_models.py"]


def test_inline_pip_commands_name_existing_extras() -> None:
    found = [
        command
        for page in pages()
        for command in re.findall(r"`(pip install '[^`]+')`", page.read_text(encoding="utf-8"))
    ]
    assert len(found) > 5
    for command in found:
        check_pip(words(command)[1:])


def test_relative_links_exist() -> None:
    for page in pages():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_page_is_in_a_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {line for block in re.findall(r"^```{toctree}\n(.*?)^```", index, re.M | re.S) for line in block.split()}
    own = {str(page.relative_to(DOCS).with_suffix("")) for page in pages() if page.is_relative_to(DOCS)}
    assert own - listed == {"index"}
