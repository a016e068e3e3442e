"""What examples in docstrings use without importing it: the names of a user's first lines."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn


@pytest.fixture(autouse=True)
def _names_of_first_lines(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(jax=jax, jnp=jnp, np=np, nn=nn)
