"""Sample of ``make soak``: ended commands, full disks, read errors and wrong clocks."""

import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from faults import conditions
from faults.interruptions import TASKS, Ending, Ledger, Task, check_after, interrupt, run, undisturbed, warm
from floodseg.deployment.staging import staging_folder

BY_NAME = {task.name: task for task in TASKS}


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endings")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("train", (signal.SIGKILL, signal.SIGTERM)),
        ("predict", (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        ("download", (signal.SIGTERM, signal.SIGKILL)),
    ],
)
def test_an_ended_command_leaves_no_finished_result_and_can_be_continued(
    folder: Path, name: str, signals: tuple[signal.Signals, ...]
) -> None:
    task, ledger = BY_NAME[name], Ledger()
    with undisturbed(task, folder / name / "reference") as (reference, seconds):
        for index, number in enumerate(signals):
            rng = np.random.default_rng((1, index))
            interrupt(task, folder / name / "run", reference, seconds, rng, number, ledger)
    assert not ledger.failures
    assert ledger.survived.total() == len(signals)


@pytest.mark.slow
def test_an_ended_export_leaves_no_file_and_no_process(folder: Path) -> None:
    """SIGTERM at the start, then SIGKILL only to the command in the middle of its conversion."""
    task, place = BY_NAME["export"], folder / "export"
    place.mkdir()
    for number, after_s in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 3.0)):
        ending = run(task, place, number, after_s=after_s)
        assert ending.sent
        check_after(task, place, ending, number, None)
        assert not task.finished(place)
    [left] = place.glob(".model.floodseg-*")
    with staging_folder(place / "model.xml"):
        assert not left.exists(), "the next export removes it"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with conditions.small_disk(tmp_path / "probe", 2**20):
            yield tmp_path
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_next_run_continues(folder: Path, small_disk: Path) -> None:
    task, ledger = BY_NAME["predict"], Ledger()
    with undisturbed(task, folder / "disk") as (reference, _):
        conditions.fill_disk(task, small_disk / "disk", reference, 200_000, np.random.default_rng(3), ledger)
    assert not ledger.failures
    assert ledger.survived == {"predict full disk": 1}


@pytest.mark.slow
@pytest.mark.skipif(conditions.compiler() is None, reason="no C compiler for the shim")
def test_a_disk_that_fails_in_the_middle_of_a_file_is_one_sentence(folder: Path) -> None:
    """Run in a subprocess with the shim."""
    program = """
        import sys
        from pathlib import Path
        from faults.interruptions import TASKS, run, warm

        folder, [task] = Path(sys.argv[1]), [task for task in TASKS if task.name == "predict"]
        warm()
        task.prepare(folder)
        ending = run(task, folder, environment={"FAULTY_FILE": "s1.tif", "FAULTY_FROM": "100000"})
        assert ending.code == 2, ending
        assert "s1.tif" in ending.output.splitlines()[-1], ending.output
        assert not (folder / "map").exists()
        past = run(task, folder, environment={"CLOCK_OFF_S": "-999999999"})
        assert past.code == 0, past.output
    """
    place = folder / "failing"
    place.mkdir()
    done = conditions.run_python_with_shim(place, ["-c", textwrap.dedent(program), str(place)])
    assert done.returncode == 0, done.stderr


# ---- tests of the checks


def _write_broken_scores(folder: Path) -> list[str]:
    (folder / "scores.json").write_text("{")
    return ["evaluate", "otsu", "--data", str(folder / "nowhere"), "--json", str(folder / "scores.json")]


def test_the_checks_detect_false_results_and_leftovers(folder: Path) -> None:
    bad = Task("bad", _write_broken_scores, lambda place: (place / "scores.json").read_text(), lambda place: True)
    place = folder / "bad"
    (place / "tmp").mkdir(parents=True)
    _write_broken_scores(place)
    with pytest.raises(AssertionError, match="looks finished, and differs"):
        check_after(bad, place, Ending(143, "floodseg: error: ended by SIGTERM", 1.0, True), signal.SIGTERM, "{}")
    with pytest.raises(AssertionError, match="exit code 1"):
        check_after(bad, place, Ending(1, "Traceback", 1.0, True), signal.SIGTERM, "{")
    (place / "tmp/left").write_text("")
    with pytest.raises(AssertionError, match="are left"):
        check_after(bad, place, Ending(130, "floodseg: error: interrupted", 1.0, True), signal.SIGINT, "{")


def test_the_exit_code_and_the_output_are_recorded(folder: Path) -> None:
    place = folder / "output"
    place.mkdir()
    ending = run(Task("wrong", lambda _: ["predict"], lambda _: None, lambda _: False), place)
    assert ending.code == 2
    assert ending.output.startswith("floodseg: error: ")
