"""Sample of damaged files (``make soak`` reads thousands), and tests of the checks."""

import pytest

from faults.fuzzing import MAX_RESIDENT_MB, Report, check, fuzz
from faults.targets import TARGETS

FILES = 200


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Report on undamaged and damaged files of every kind."""
    return fuzz(tmp_path_factory.mktemp("fuzz"), 0, range(-len(TARGETS), FILES))


@pytest.mark.slow
def test_damaged_files_are_handled_or_refused_in_one_sentence(report: Report) -> None:
    assert not report.findings
    assert report.tried.total() == FILES + len(TARGETS)


@pytest.mark.slow
def test_some_damaged_files_are_refused_and_some_are_read(report: Report) -> None:
    assert 0.3 < report.refused.total() / report.tried.total() < 0.8


RESULT = {"index": 0, "target": "sar", "code": 2, "output": "floodseg: error: x\n", "memory_mb": 1.0, "seconds": 0.1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"code": 0, "output": ""}, None),
        ({"code": 0, "output": "floodseg: WARNING: one entry is damaged\n"}, None),
        ({"output": "floodseg: WARNING: w\nfloodseg: error: x\n"}, None),
        ({"code": 1, "output": "Traceback (most recent call last):"}, "a traceback"),
        ({"code": 0, "output": "Traceback"}, "a traceback"),
        ({"code": "no exit", "output": ""}, "exit code no exit"),
        ({"code": 3}, "exit code 3"),
        ({"code": 3, "target": "list csv", "output": "failed a: x\nfloodseg: error: x\n"}, None),
        ({"output": ""}, "0 sentences with exit code 2"),
        ({"code": 0}, "1 sentences with exit code 0"),
        ({"output": "floodseg: error: x\nERROR 1: libtiff\n"}, "output after the sentence"),
        ({"output": "floodseg: error: \x1b[31m\n"}, "control characters in the sentence"),
        ({"memory_mb": MAX_RESIDENT_MB + 1}, f"took {MAX_RESIDENT_MB + 1} MB"),
        ({"problem": "the interpreter ended (-11)"}, "the interpreter ended (-11)"),
    ],
)
def test_pixel_counts_depend_on_exit_code_and_output(changes: dict[str, object], problem: str | None) -> None:
    report = Report()
    check(report, RESULT | changes)
    assert [finding.problem for finding in report.findings] == ([] if problem is None else [problem])
