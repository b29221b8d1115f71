"""The PowerShells that the functions are tested with."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from running import PowerShell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["pwsh", "powershell"] if sys.platform == "win32" else ["pwsh"])
def powershell(request: pytest.FixtureRequest, tmp_path: Path) -> PowerShell:
    """See :class:`PowerShell`. With ``REQUIRE_POWERSHELL`` in the environment it must be there."""
    program = shutil.which(request.param)
    if program is None:
        missing = f"{request.param} is not on the path"
        if os.environ.get("REQUIRE_POWERSHELL"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path / "with space"
    folder.mkdir()
    return PowerShell(request.param, program, folder)
