"""Variables of a module that is not bound: the error says so."""

from __future__ import annotations

import pytest

import linen_core as nn


def test_variables_of_an_unbound_module():
    message = (
        "Cannot make {} of Dense: it is not bound to variables. Use `init`, `apply` or `bind`."
    )
    with pytest.raises(ValueError) as parameters:
        nn.Dense(3).param("a", nn.initializers.ones, (1,))
    with pytest.raises(ValueError) as variables:
        nn.Dense(3).variable("state", "a", lambda: 1)
    assert str(parameters.value) == message.format("parameters")
    assert str(variables.value) == message.format("variables")
