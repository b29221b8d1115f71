"""The environment of a run, for the audit log.

The command line is never recorded: it may hold secrets.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Final

import pytest

from pytest_migration_state.text import to_storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_migration_state.types import JsonObject

#: Environment variables in which CI services name the commit that they build.
_COMMIT: Final = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "BUILD_SOURCEVERSION",
    "GIT_COMMIT",
    "CIRCLE_SHA1",
    "BITBUCKET_COMMIT",
)
#: Environment variables in which CI services name the page of the job.
_JOB: Final = ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL")


def environment_info() -> JsonObject:
    """Return the versions and, if the environment names them, the git commit and the CI job."""
    found: JsonObject = {
        "python_version": platform.python_version(),
        "pytest_version": pytest.__version__,
    }
    if commit := _first(os.environ, _COMMIT):
        found["git_commit"] = to_storable(commit)
    if job := _job_url(os.environ):
        found["ci_job_url"] = to_storable(job)
    return found


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _job_url(environment: Mapping[str, str]) -> str | None:
    if run := environment.get("GITHUB_RUN_ID"):
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{environment.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
    return _first(environment, _JOB)
