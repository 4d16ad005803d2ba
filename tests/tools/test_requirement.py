"""A missing real part skips a test on a laptop, and fails it where everything must run."""

import pytest

from tests.tools.errors import ToolError
from tests.tools.requirement import unavailable


class TestUnavailable:
    """The environment says whether real parts are a must."""

    @pytest.mark.parametrize(
        ("value", "outcome"),
        [
            pytest.param(None, pytest.skip.Exception, id="unset"),
            pytest.param("0", pytest.skip.Exception, id="zero"),
            pytest.param("1", pytest.fail.Exception, id="one"),
        ],
    )
    def test_outcome(self, monkeypatch, value, outcome):
        """The text names what is missing in both cases."""
        monkeypatch.delenv("MODELCAR_REQUIRE_REAL", raising=False)
        if value is not None:
            monkeypatch.setenv("MODELCAR_REQUIRE_REAL", value)
        with pytest.raises(outcome, match="helm is missing"):
            unavailable(ToolError("helm is missing"))
