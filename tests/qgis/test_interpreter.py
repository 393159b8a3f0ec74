"""Search of the QGIS plugin for the Python of floodseg, on Linux and on a fake Windows."""

import os
from pathlib import Path

import pytest

from floodseg_qgis.interpreter import InterpreterError, Machine, find_command, missing_package


def environment(root: Path, *, windows: bool = False) -> Path:
    """Make a virtual environment with floodseg of empty files, and return its Python."""
    programs, suffix = root / ("Scripts" if windows else "bin"), ".exe" if windows else ""
    programs.mkdir(parents=True)
    (programs / f"floodseg{suffix}").touch()
    (programs / f"python{suffix}").touch()
    return programs / f"python{suffix}"


def machine(home: Path, *, windows: bool = False, **variables: str) -> Machine:
    return Machine(home, variables, windows)


def command(python: Path) -> list[str]:
    return [str(python), "-m", "floodseg"]


def test_setting_precedes_variable_search_path_and_usual_places(tmp_path: Path) -> None:
    usual = environment(tmp_path / ".venvs" / "floodseg")
    found = [environment(tmp_path / name) for name in ("setting", "variable", "search")]
    path = f"{tmp_path / 'empty'}:{found[2].parent}"
    assert find_command(str(found[0]), machine(tmp_path, FLOODSEG_PYTHON=str(found[1]), PATH=path)) == command(found[0])
    assert find_command("", machine(tmp_path, FLOODSEG_PYTHON=str(found[1]), PATH=path)) == command(found[1])
    assert find_command(None, machine(tmp_path, PATH=path)) == command(found[2])
    assert find_command(None, machine(tmp_path, PATH="/usr/bin")) == command(usual)


def test_named_folder_is_an_environment_and_named_program_is_run(tmp_path: Path) -> None:
    python = environment(tmp_path / "with space")
    assert find_command(str(tmp_path / "with space"), machine(tmp_path)) == command(python)
    assert find_command(str(python.with_name("floodseg")), machine(tmp_path)) == [str(python.with_name("floodseg"))]


def test_linked_program_leads_to_its_environment(tmp_path: Path) -> None:
    """Pipx and uv link the program into a folder of the search path."""
    python = environment(tmp_path / "elsewhere")
    links = tmp_path / "links"
    links.mkdir()
    (links / "floodseg").symlink_to(python.with_name("floodseg"))
    assert find_command(None, machine(tmp_path, PATH=str(links))) == command(python)


def test_program_without_a_python_beside_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "floodseg"
    program.touch()
    assert find_command(None, machine(tmp_path, PATH=str(program.parent))) == [str(program)]


@pytest.mark.parametrize(
    ("setting", "variables", "what"),
    [
        (None, {}, "no Python with floodseg was found"),
        ("/gone/python", {}, "/gone/python: this file, from Settings > Options > Processing > Providers > floodseg"),
        (None, {"FLOODSEG_PYTHON": "/gone/python"}, "/gone/python: this file, from FLOODSEG_PYTHON, does not exist"),
        ("{home}", {}, "this folder, from Settings > Options > Processing > Providers > floodseg, has no Python in it"),
    ],
)
def test_message_says_how_to_name_a_python(
    tmp_path: Path, setting: str | None, variables: dict[str, str], what: str
) -> None:
    with pytest.raises(InterpreterError) as error:
        find_command(setting and setting.format(home=tmp_path), machine(tmp_path, **variables))
    assert what in str(error.value)
    assert "; enter the Python of its environment in Settings > Options > Processing > Providers" in str(error.value)
    assert "environment variable FLOODSEG_PYTHON" in str(error.value)


def test_message_of_a_python_without_floodseg() -> None:
    assert missing_package(["/usr/bin/python3"]).startswith("/usr/bin/python3: floodseg is not installed there; ")


# A fake Windows: its file names, search path and folders on the disk of this machine. No test ran on Windows.


def test_windows_search_path_and_scripts_folder(tmp_path: Path) -> None:
    python = environment(tmp_path / "my venv", windows=True)
    path = f"{tmp_path / 'OSGeo4W'};{python.parent}"
    assert find_command(None, machine(tmp_path, windows=True, PATH=path)) == command(python)
    assert find_command(str(tmp_path / "my venv"), machine(tmp_path, windows=True)) == command(python)


@pytest.mark.parametrize("place", [".venvs/floodseg", "pipx/venvs/floodseg", "AppData/Roaming/uv/tools/floodseg"])
def test_windows_usual_places(tmp_path: Path, place: str) -> None:
    python = environment(tmp_path / place, windows=True)
    assert find_command(None, machine(tmp_path, windows=True)) == command(python)


def test_windows_conda_has_its_python_in_the_root(tmp_path: Path) -> None:
    root = tmp_path / "miniforge3" / "envs" / "floodseg"
    (root / "Scripts").mkdir(parents=True)
    (root / "Scripts" / "floodseg.exe").touch()
    (root / "python.exe").touch()
    assert find_command(None, machine(tmp_path, windows=True)) == command(root / "python.exe")


def test_this_machine() -> None:
    assert Machine().environment == dict(os.environ)
    assert Machine().windows == (os.name == "nt")
