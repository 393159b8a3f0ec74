"""The zip of the QGIS plugin, its metadata, and rules for its code."""

import ast
import configparser
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "qgis" / "floodseg_qgis"
SOURCES = sorted(PLUGIN.glob("*.py"))
LARGEST = 200_000
FREE_OF_QGIS = ("interpreter.py", "output.py", "process.py")
NESTED_CLASSES = {"LayerDetails"}
"""Names after a class of QGIS that are no enums."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        # the oldest Python of QGIS 3.22
        yield path.name, ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_one_command_makes_a_small_zip(tmp_path: Path) -> None:
    command = ["make", "-C", str(ROOT), "qgis-plugin", f"PYTHON={sys.executable}", f"DIST={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True)
    file = tmp_path / "floodseg_qgis.zip"
    assert file.stat().st_size < LARGEST
    with zipfile.ZipFile(file) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    own = {f"floodseg_qgis/{path.name}" for path in PLUGIN.iterdir() if path.is_file()}
    assert names == own
    assert {"floodseg_qgis/metadata.txt", "floodseg_qgis/LICENSE", "floodseg_qgis/icon.svg"} <= names


def test_metadata_has_all_fields() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string((PLUGIN / "metadata.txt").read_text(encoding="utf-8"))
    general = dict(parser["general"])
    fields = (
        "name qgisMinimumVersion qgisMaximumVersion description about version author email tracker repository homepage "
        "category tags icon changelog experimental deprecated server hasProcessingProvider supportsQt6 license"
    )
    assert set(fields.lower().split()) == set(general)
    assert all(general.values())
    assert (general["hasprocessingprovider"], general["supportsqt6"]) == ("yes", "yes")
    assert (general["qgisminimumversion"], general["qgismaximumversion"]) == ("3.22", "4.99")
    assert (PLUGIN / general["icon"]).is_file()
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert general["version"] == version[1]


def test_licence_is_gpl_and_named_in_each_file() -> None:
    assert (PLUGIN / "LICENSE").read_text(encoding="utf-8").split()[:5] == [
        "GNU",
        "GENERAL",
        "PUBLIC",
        "LICENSE",
        "Version",
    ]
    for path in SOURCES:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == "# SPDX-License-Identifier: GPL-2.0-or-later", path.name


def test_plugin_imports_only_qgis_and_the_standard_library() -> None:
    """It talks to floodseg through a process, and makes no requests."""
    network = {"socket", "ssl", "urllib", "http", "ftplib", "asyncio"}
    for name, tree in trees():
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        modules = {alias.name for node in imports for alias in node.names}
        modules |= {
            node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0
        }
        packages = {module.partition(".")[0] for module in modules}
        allowed = (set(sys.stdlib_module_names) - network) | (set() if name in FREE_OF_QGIS else {"qgis", "processing"})
        assert packages <= allowed, name
        assert not any("QtNetwork" in module for module in modules), name


def test_plugin_runs_no_shell_and_no_code_from_text() -> None:
    for name, tree in trees():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not [node for node in calls if any(keyword.arg == "shell" for keyword in node.keywords)], name
        called = {ast.unparse(node.func) for node in calls}
        assert not called & {"os.system", "os.popen", "eval", "exec", "__import__", "pickle.loads"}, name


def unscoped_enums(tree: ast.Module) -> list[str]:
    """Return attributes such as ``Qgis.Warning`` or ``QgsProcessing.TypeRaster``, which Qt 6 does not have.

    ``QgsProcessing.SourceType.TypeRaster`` is scoped.
    """
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        and re.match("Q[a-zA-Z]", node.value.id) and node.attr[0].isupper()
        and id(node) not in inner and node.attr not in NESTED_CLASSES
    ]  # fmt: skip


def test_enums_are_scoped() -> None:
    assert {name: found for name, tree in trees() if (found := unscoped_enums(tree))} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("QgsProcessing.TypeRaster", ["QgsProcessing.TypeRaster"]),
        ("Qt.AlignTop", ["Qt.AlignTop"]),
        ("Qgis.Warning", ["Qgis.Warning"]),
        ("QgsProcessing.SourceType.TypeRaster", []),
        ("QgsProject.instance()", []),
    ],
)
def test_check_of_enums(code: str, found: list[str]) -> None:
    assert unscoped_enums(ast.parse(code)) == found
