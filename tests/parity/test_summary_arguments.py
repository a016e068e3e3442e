"""Arguments that are no arrays, dtypes among them, stand in the table as flax shows them, and raise no warning."""

from __future__ import annotations

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

X = jnp.ones((2, 3))


def _table(lib, **kwargs):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x, value=None):
            return lib.Dense(2)(x)

    console = {"width": 120, "force_terminal": False, "no_color": True}
    return Model().tabulate(jax.random.key(0), X, console_kwargs=console, **kwargs)


@pytest.mark.filterwarnings("ignore:shape requires ndarray:DeprecationWarning")  # flax's own
@pytest.mark.parametrize(
    "value", [jnp.bfloat16, np.dtype("int32"), float, bool, 3, 2.5, True, "mode", np.float32(1), X]
)
def test_argument_is_shown_alike(value):
    assert _table(nn, value=value) == _table(fnn, value=value)


def test_dtype_as_argument_raises_no_warning(recwarn):
    assert "bfloat16[]" in _table(nn, value=jnp.bfloat16)
    assert not recwarn.list
