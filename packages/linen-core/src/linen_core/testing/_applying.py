"""Conformance tests that apply a model to the variables of a store."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.errors import LazyStoreTracedError, ScopeParamNotFoundError
from linen_core.layers.batch_norm import BatchNorm
from linen_core.layers.dense import Dense
from linen_core.layers.stochastic import Dropout
from linen_core.module import Module, compact
from linen_core.testing._cases import Variables
from linen_core.testing._expect import expect, expect_error, expect_values, leaf_paths, value_at
from linen_core.testing._hooks import StoreHooks
from linen_core.typing import Array

__all__ = ["ApplyingTests"]


class _Model(Module):
    """Has parameters, statistics, dropout, and a method that uses only two of the parameters."""

    def setup(self) -> None:
        self.hidden = Dense(4)
        self.norm = BatchNorm(momentum=0.5)
        self.noise = Dropout(0.5)
        self.head = Dense(2)

    def __call__(self, x: Array, *, train: bool = False) -> Any:
        x = self.norm(self.hidden(x), use_running_average=not train)
        return self.head(self.noise(x, deterministic=not train))

    def features(self, x: Array) -> Any:
        return self.hidden(x)


class _Other(Module):
    @compact
    def __call__(self, x: Array) -> Any:
        return Dense(2, name="tail")(x)


_INPUT = jnp.arange(6.0).reshape(2, 3)


def _variables() -> Variables:
    return dict(jax.tree.map(np.asarray, _Model().init(jax.random.key(0), _INPUT)))


class ApplyingTests(StoreHooks):
    """A model computes the same from a store as from a dict, and does not change the store."""

    def test_apply_gives_the_same_as_from_a_dict(self, tmp_path: FilePath) -> None:
        """Outputs are bitwise equal."""
        variables = _variables()
        with self._fill(tmp_path, variables) as store:
            expected = np.asarray(_Model().apply(variables, _INPUT))
            expect_values(_Model().apply(store, _INPUT), expected, "apply(store, x)")

    def test_apply_with_updates_leaves_the_store_alone(self, tmp_path: FilePath) -> None:
        """`apply` returns the updated variables, and the store keeps the old ones."""
        variables = _variables()
        options: dict[str, Any] = {"train": True, "mutable": ["batch_stats"]}
        options["rngs"] = {"dropout": jax.random.key(1)}
        with self._fill(tmp_path, variables) as store:
            output, updates = _Model().apply(store, _INPUT, **options)
            expected, changes = _Model().apply(variables, _INPUT, **options)
            expect_values(
                output, np.asarray(expected), "the output of apply(store, x, mutable=...)"
            )
            for path in leaf_paths(changes):
                found, new = value_at(updates, path), np.asarray(value_at(changes, path))
                expect_values(found, new, f"the update at {path!r}")
            self._expect_holds(store, variables, tmp_path)

    def test_apply_reads_what_the_method_touches(self, tmp_path: FilePath) -> None:
        """A method that uses two variables reads two from a lazy store."""
        with self._fill(tmp_path, _variables()) as store:
            _Model().apply(store, _INPUT, method="features")
            if store.capabilities.lazy:
                expect(self.count_reads(store), 2, "count_reads after a method of two variables")

    def test_a_trace_reads_no_constants_from_a_lazy_store(self, tmp_path: FilePath) -> None:
        """Under `jax.jit` a lazy store raises an error, and any other store gives the same result as a dict."""
        variables = _variables()
        with self._fill(tmp_path, variables) as store:
            apply = jax.jit(lambda x: _Model().apply(store, x))
            if store.capabilities.lazy:
                with expect_error(LazyStoreTracedError, "jax.jit over apply(store, x)"):
                    apply(_INPUT)
            else:
                expected = jax.jit(lambda x: _Model().apply(variables, x))(_INPUT)
                expect_values(apply(_INPUT), np.asarray(expected), "jax.jit over apply(store, x)")

    def test_a_missing_parameter_is_the_error_of_a_dict(self, tmp_path: FilePath) -> None:
        """A model of another structure raises the same error with the same message."""
        variables = _variables()
        messages = []
        with self._fill(tmp_path, variables) as store:
            for source in (variables, store):
                with expect_error(ScopeParamNotFoundError, "apply of another model") as caught:
                    _Other().apply(source, _INPUT)
                messages.append(str(caught[0]))
        expect(messages[1], messages[0], "the message of a missing parameter")
