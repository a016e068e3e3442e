"""The programs of the parity tests are forgotten in the end."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    yield
    jax.clear_caches()  # thousands of small programs would take gigabytes
