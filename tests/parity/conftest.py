"""The programs of the parity tests are forgotten where they take much memory."""

import resource

import jax
import pytest

MOST_KIB = 5 * 2**20


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    yield
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MOST_KIB:
        jax.clear_caches()
