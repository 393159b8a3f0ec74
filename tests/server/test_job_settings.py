"""Commands of jobs: they are those that a user would type."""

import json
from pathlib import Path
from typing import Any

import pytest

from floodseg.app.cli import app
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.job_settings import JobForm, job_command, settings_documents


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    paths = {name: tmp_path / f"{name} 1.tif" for name in ("vv", "vh", "aoi")}
    for path in paths.values():
        path.touch()
    return {name: str(path) for name, path in paths.items()}


def parsed(command: list[str]) -> Any:
    """Return the arguments that the command line reads from a command."""
    return app.parse_args(command, exit_on_error=False, print_error=False)[1].arguments


def test_command_of_predict_has_the_settings_of_the_form(tmp_path: Path, files: dict[str, str]) -> None:
    settings = {
        "sar": [files["vv"], files["vh"]], "aoi": files["aoi"], "sar_units": "linear", "threshold": 0.25, "tta": True,
        "min_area": 200, "optical": [], "dem": None, "datetime": "", "depth": False, "model": "s1-lite",
        "optical_offset": -1000,
    }  # fmt: skip
    settings.pop("optical_offset")
    command = job_command(JobForm("predict", "new", settings), tmp_path / "new", Folders([tmp_path]))
    arguments = parsed(command)
    config = arguments["config"]
    assert config.scene.sar == (files["vv"], files["vh"])
    assert (config.scene.aoi, config.scene.sar_units, config.out_dir) == (files["aoi"], "linear", tmp_path / "new")
    assert (config.mapping.threshold, config.mapping.tta, config.mapping.min_area) == (0.25, True, 200)
    assert (arguments["model"], config.scene.depth) == ("s1-lite", False)


def test_elevation_model_can_be_described(tmp_path: Path, files: dict[str, str]) -> None:
    settings = {
        "sar": files["vv"], "dem": files["aoi"], "depth": True, "dem_kind": "terrain", "vertical_datum": "EGM2008",
    }  # fmt: skip
    config = parsed(job_command(JobForm("predict", "x", settings), tmp_path / "x", Folders([tmp_path])))["config"]
    assert (config.scene.depth, config.scene.dem_kind, config.scene.vertical_datum) == (True, "terrain", "EGM2008")


def test_values_are_not_read_as_flags(tmp_path: Path, files: dict[str, str]) -> None:
    settings = {"optical": files["aoi"], "optical_offset": -1000, "cloud_mask": "none"}
    config = parsed(job_command(JobForm("predict", "x", settings), tmp_path / "x", Folders([tmp_path])))["config"]
    assert (config.scene.optical_offset, config.scene.cloud_mask) == (-1000, "none")
    settings = {"place": "--help", "date": "2024-10-31"}
    command = job_command(JobForm("map", "x", settings), tmp_path / "x", Folders([tmp_path]))
    config = parsed(command)["config"]
    assert (config.search.area.place, config.search.allow_remote) == ("--help", True)


@pytest.mark.parametrize("source", ["/etc/passwd", "https://example.com/api", "source.toml"])
def test_source_is_a_known_name_or_a_file_in_the_folders(tmp_path: Path, source: str) -> None:
    settings = {"place": "Adria, IT", "date": "2024-10-31", "source": source}
    with pytest.raises(RequestError, match="is not in a folder of the app"):
        job_command(JobForm("map", "x", settings), tmp_path / "x", Folders([tmp_path]))
    command = job_command(
        JobForm("map", "x", settings | {"source": "earth-search"}), tmp_path / "x", Folders([tmp_path])
    )
    assert parsed(command)["config"].search.source == "earth-search"


@pytest.mark.parametrize("name", ["e\u0301te\u0301", "बाढ़ नक्शा", "แม่น้ำ", "2024-10.31 a_b"])
def test_names_of_maps_in_all_scripts(name: str) -> None:
    body = json.dumps({"kind": "predict", "name": name, "settings": {}}).encode()
    assert JobForm.parse(body).name == name


@pytest.mark.parametrize("kind", ["predict", "map"])
def test_settings_are_explained(kind: Any) -> None:
    documents = settings_documents(kind)
    assert len({document["name"] for document in documents}) == len(documents) >= 14
    for document in documents:
        assert document["type"] in ("text", "number", "choice", "file", "bool")
        takes_words = document["type"] == "choice" or document["name"] in ("cloud_mask", "source")
        assert takes_words == bool(document["choices"])
        assert document["help"].endswith((".", '".'))
        assert document["title"][0].isupper()
        assert "--" not in document["help"]


def test_explanations_name_other_settings_by_their_titles() -> None:
    texts = {document["name"]: document["help"] for document in settings_documents("predict")}
    assert texts["dem"].endswith('Ground steeper than "Max slope" is marked as excluded.')
    assert texts["max_slope"].endswith('Needs "Elevation raster".')
