"""Recipes for pytest-html: an unescaped node id, and the purpose of a failed test."""

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.nodeid = report.nodeid.encode("utf-8").decode("unicode_escape")
    if report.failed:
        report.nodeid += f" ({item.function.__doc__})"
