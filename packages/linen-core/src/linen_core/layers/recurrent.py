"""Recurrent networks: RNN and Bidirectional run cells over time. Also exports the cells."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import random

from linen_core.layers._common import where
from linen_core.layers._explicit import explicit_axes, like_batch
from linen_core.layers.activation import sigmoid, tanh
from linen_core.layers.gated_cells import GRUCell, MGUCell, SimpleCell
from linen_core.layers.lstm_cells import ConvLSTMCell, DenseParams, LSTMCell, OptimizedLSTMCell
from linen_core.layers.recurrent_base import Carry, RNNCellBase
from linen_core.module import Module, nowrap
from linen_core.module.attributes import ImmutableDict
from linen_core.transforms import scan
from linen_core.typing import Array, PRNGKey

__all__ = [
    "RNN",
    "Bidirectional",
    "Carry",
    "ConvLSTMCell",
    "DenseParams",
    "GRUCell",
    "LSTMCell",
    "MGUCell",
    "OptimizedLSTMCell",
    "RNNBase",
    "RNNCellBase",
    "SimpleCell",
    "flip_sequences",
    "sigmoid",
    "tanh",
]

_log = logging.getLogger(__name__)


class RNN(Module):
    """Run a cell over the time axis of a sequence, with `nn.scan`.

    A sequence has the shape (batch..., time, features...), or (time, batch..., features...) with
    `time_major`. The outputs have the same layout.

    Attributes:
      cell: the cell, whose variables all steps share.
      time_major: the time axis comes first.
      return_carry: return the last carry before the outputs.
      reverse: run from the end to the start, and return the outputs in this order.
      keep_order: return the outputs of a reversed run in the order of the inputs; ignored on other runs.
      unroll: number of steps in one iteration of the compiled loop.
      variable_axes: collections with a time axis, and this axis; as for `nn.scan`.
      variable_broadcast: collections that all steps share; as for `nn.scan`.
      variable_carry: collections that each step passes to the next; as for `nn.scan`.
      split_rngs: RNG streams, and whether each step gets a different key; as for `nn.scan`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> x = jnp.ones((10, 50, 32))
    >>> y, variables = nn.RNN(nn.LSTMCell(64)).init_with_output(jax.random.key(0), x)
    >>> y.shape
    (10, 50, 64)
    """

    cell: RNNCellBase
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    unroll: int = 1
    variable_axes: Mapping[Any, Any] = ImmutableDict()
    variable_broadcast: Any = "params"
    variable_carry: Any = False
    split_rngs: Mapping[Any, bool] = ImmutableDict({"params": False})

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Carry | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run over a sequence.

        Args:
          inputs: a sequence.
          initial_carry: the carry of the first step; by default the cell creates one.
          init_key: the key for the default carry; by default `jax.random.key(0)`. Ignored if `initial_carry` is given.
          seq_lengths: integers of shape (batch...), the length of each sequence without the padding at its end. A
            reversed run starts at the last step before the padding. The returned carry is the one after the last step
            that is not padding. Outputs of padding are not set to zero.
          return_carry: overrides the field.
          time_major: overrides the field.
          reverse: overrides the field.
          keep_order: overrides the field.

        Returns:
          The outputs, or with `return_carry` the tuple (carry, outputs).
        """
        return_carry = self.return_carry if return_carry is None else return_carry
        time_major = self.time_major if time_major is None else time_major
        reverse = self.reverse if reverse is None else reverse
        keep_order = self.keep_order if keep_order is None else keep_order
        feature_axes = self.cell.num_feature_axes
        time_axis = 0 if time_major else (inputs.ndim - feature_axes - 1) % inputs.ndim
        batch_axes = inputs.ndim - feature_axes - 1 if time_major else time_axis

        def flip(x: Array) -> Array:
            return flip_sequences(x, seq_lengths, batch_axes, time_major)

        if reverse:
            inputs = jax.tree.map(flip, inputs)
        if initial_carry is None:
            key = random.key(0) if init_key is None else init_key
            step_shape = inputs.shape[:time_axis] + inputs.shape[time_axis + 1 :]
            initial_carry = self.cell.initialize_carry(key, step_shape)
            batch = len(step_shape) - self.cell.num_feature_axes
            axes = explicit_axes(inputs)
            axes = axes[:time_axis] + axes[time_axis + 1 :]
            initial_carry = like_batch(initial_carry, axes[:batch])
        # The last carry of a shorter sequence is the one before its padding, so the carries of all steps are needed.
        keep_carries = seq_lengths is not None and return_carry
        carry, outputs = self._scan(inputs, initial_carry, time_axis, keep_carries)
        if keep_carries:
            carries, outputs = outputs
            carry = _carry_at(carries, seq_lengths)
        if reverse and keep_order:
            outputs = jax.tree.map(flip, outputs)
        return (carry, outputs) if return_carry else outputs

    @nowrap
    def _scan(
        self, inputs: Array, carry: Carry, time_axis: int, keep_carries: bool
    ) -> tuple[Carry, Any]:
        """Run the cell over the time axis; if carries are kept, return (carries, outputs)."""

        def step(cell: Any, carry: Carry, x: Array) -> tuple[Carry, Any]:
            carry, y = cell(carry, x)
            return carry, (carry, y) if keep_carries else y

        run = scan(
            step,
            in_axes=time_axis,
            out_axes=(0, time_axis) if keep_carries else time_axis,
            unroll=self.unroll,
            variable_axes=self.variable_axes,
            variable_broadcast=self.variable_broadcast,
            variable_carry=self.variable_carry,
            split_rngs=self.split_rngs,
        )
        result: tuple[Carry, Any] = run(self.cell, carry, inputs)
        return result


def _carry_at(carries: Carry, seq_lengths: Array) -> Carry:
    """Select the carry after the last step of each sequence; the first axis of the carries is time."""
    last = seq_lengths - 1
    batch = jnp.indices(last.shape, sparse=True)
    return jax.tree.map(lambda x: x[(last, *batch)], carries)


def flip_sequences(
    inputs: Array, seq_lengths: Array | None, num_batch_dims: int, time_major: bool
) -> Array:
    """Reverse sequences in time, but keep the padding at their end.

    Args:
      inputs: an array of shape (batch..., time, ...), or (time, batch..., ...) with `time_major`.
      seq_lengths: integers of shape (batch...), the length of each sequence without padding; None for no padding.
      num_batch_dims: number of batch axes.
      time_major: the time axis comes first.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(flip_sequences(jnp.array([[1, 2, 0], [3, 4, 5]]), jnp.array([2, 3]), 1, False))
    [[2 1 0]
     [5 4 3]]
    """
    time_axis = 0 if time_major else num_batch_dims
    if seq_lengths is None:
        return jnp.flip(inputs, axis=time_axis)
    steps = inputs.shape[time_axis]
    shape = [1] * (num_batch_dims + 1)
    shape[time_axis] = steps
    backwards = jnp.reshape(jnp.arange(steps - 1, -1, -1), shape)
    indices = (backwards + jnp.expand_dims(seq_lengths, axis=time_axis)) % steps
    indices = indices.reshape(indices.shape + (1,) * (inputs.ndim - indices.ndim))
    return jnp.take_along_axis(inputs, indices, axis=time_axis)


def _concatenate(a: Array, b: Array) -> Array:
    return jnp.concatenate([a, b], axis=-1)


class RNNBase(Protocol):
    """A network that `Bidirectional` runs: a module with the call signature of `RNN`."""

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Carry | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any: ...


class Bidirectional(Module):
    """Run two networks over a sequence, one forwards and one backwards, and merge their outputs.

    Attributes:
      forward_rnn: the network that runs forwards.
      backward_rnn: the network that runs backwards. If it is the same object, the two share their
        parameters.
      merge_fn: a function of two outputs.
      time_major: the time axis comes first.
      return_carry: return the two last carries before the outputs.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4)))
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 3)))
    >>> y.shape
    (2, 5, 8)
    """

    forward_rnn: RNNBase
    backward_rnn: RNNBase
    merge_fn: Callable[[Array, Array], Array] = _concatenate
    time_major: bool = False
    return_carry: bool = False

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Carry | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run over a sequence.

        Args:
          inputs: a sequence, as for `RNN`.
          initial_carry: the carries of the two networks.
          init_key: the key for the default carries.
          seq_lengths: integers of shape (batch...), the length of each sequence without padding.
          return_carry: overrides the field.
          time_major: overrides the field.
          reverse: ignored with a RuntimeWarning, because both directions are run.
          keep_order: must not be False: outputs have the order of the inputs. False is ignored with a RuntimeWarning.

        Returns:
          The merged outputs, or with `return_carry` the tuple (carries, outputs).
        """
        if reverse or keep_order is False:
            name = "reverse=True" if reverse else "keep_order=False"
            msg = (
                f"{where(self)} ignores {name}: it runs both directions, and returns outputs in the order of the "
                "inputs. Leave the argument out, or reverse the inputs or the outputs yourself."
            )
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
        time_major = self.time_major if time_major is None else time_major
        return_carry = self.return_carry if return_carry is None else return_carry
        keys = (None, None) if init_key is None else tuple(random.split(init_key))
        carries = (None, None) if initial_carry is None else initial_carry
        if self.forward_rnn is self.backward_rnn:
            _log.warning(
                "The forward and the backward network of a Bidirectional are one object: "
                "they share their parameters."
            )
        carry_forward, outputs_forward = self.forward_rnn(
            inputs,
            initial_carry=carries[0],
            init_key=keys[0],
            seq_lengths=seq_lengths,
            return_carry=True,
            time_major=time_major,
            reverse=False,
        )
        carry_backward, outputs_backward = self.backward_rnn(
            inputs,
            initial_carry=carries[1],
            init_key=keys[1],
            seq_lengths=seq_lengths,
            return_carry=True,
            time_major=time_major,
            reverse=True,
            keep_order=True,
        )
        outputs = jax.tree.map(self.merge_fn, outputs_forward, outputs_backward)
        return ((carry_forward, carry_backward), outputs) if return_carry else outputs
