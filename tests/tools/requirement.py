"""What a test does when a real part is missing."""

import os
from typing import NoReturn

import pytest

from tests.tools.errors import ToolError


def unavailable(error: ToolError) -> NoReturn:
    """End the test: skipped, or failed where MODELCAR_REQUIRE_REAL=1 says that the real parts must be there."""
    if os.environ.get("MODELCAR_REQUIRE_REAL") == "1":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))
