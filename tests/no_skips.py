"""Pytest plugin for CI, `-p tests.no_skips`: a skipped test is a failed test, because nobody reads what was skipped."""

from collections.abc import Generator

import pytest

Report = pytest.TestReport | pytest.CollectReport


def _failed_if_skipped(report: Report) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        report.outcome = "failed"
        report.longrepr = f"{reason}\nCI skips no test."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that was skipped."""
    report = yield
    _failed_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that was skipped."""
    report = yield
    _failed_if_skipped(report)
    return report
