"""An error of ours that a test expects, by its code: each belongs to one rule or cause, and no other will do."""

import pytest

from gateway.errors import ErrorCode, GatewayError


def raises(code: ErrorCode) -> pytest.RaisesExc[GatewayError]:
    """As `pytest.raises`, for one code."""
    return pytest.raises(GatewayError, check=lambda error: error.code is code)
