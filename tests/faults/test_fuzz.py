"""A sample of damaged files (``make soak`` reads thousands), and that the harness itself is honest."""

import pytest

from faults.fuzzing import MOST_RESIDENT_MB, Report, fuzz, judge
from faults.targets import TARGETS

FILES = 200


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Sound files of every kind, then damaged ones, in the same processes."""
    return fuzz(tmp_path_factory.mktemp("fuzz"), 0, range(-len(TARGETS), FILES))


def test_damaged_files_are_handled_or_refused_in_one_sentence(report: Report) -> None:
    assert not report.findings
    assert report.tried.total() == FILES + len(TARGETS)


def test_some_damaged_files_are_refused_and_some_are_read(report: Report) -> None:
    assert 0.3 < report.refused.total() / report.tried.total() < 0.8


ANSWER = {"index": 0, "target": "sar", "code": 2, "said": "floodseg: error: x\n", "memory_mb": 1.0, "seconds": 0.1}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"code": 0, "said": ""}, None),
        ({"code": 0, "said": "floodseg: WARNING: one entry is damaged\n"}, None),
        ({"said": "floodseg: WARNING: w\nfloodseg: error: x\n"}, None),
        ({"code": 1, "said": "Traceback (most recent call last):"}, "a traceback"),
        ({"code": 0, "said": "Traceback"}, "a traceback"),
        ({"code": "no exit", "said": ""}, "exit code no exit"),
        ({"code": 3}, "exit code 3"),
        ({"code": 3, "target": "list csv", "said": "failed a: x\nfloodseg: error: x\n"}, None),
        ({"said": ""}, "0 sentences with exit code 2"),
        ({"code": 0}, "1 sentences with exit code 0"),
        ({"said": "floodseg: error: x\nERROR 1: libtiff\n"}, "something is said after the sentence"),
        ({"said": "floodseg: error: \x1b[31m\n"}, "control characters in the sentence"),
        ({"memory_mb": MOST_RESIDENT_MB + 1}, f"took {MOST_RESIDENT_MB + 1} MB"),
        ({"why": "the interpreter ended (-11)"}, "the interpreter ended (-11)"),
    ],
)
def test_findings_depend_on_exit_code_and_output(changes: dict[str, object], why: str | None) -> None:
    report = Report()
    judge(report, ANSWER | changes)
    assert [finding.why for finding in report.findings] == ([] if why is None else [why])
