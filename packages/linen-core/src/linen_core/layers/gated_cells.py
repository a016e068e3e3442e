"""Recurrent cells with one state: SimpleCell, GRUCell and MGUCell."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from linen_core.layers import initializers
from linen_core.layers._common import default_kernel_init
from linen_core.layers.activation import sigmoid, tanh
from linen_core.layers.dense import Dense
from linen_core.layers.recurrent_base import OneStateCell, default_recurrent_init
from linen_core.module import compact
from linen_core.typing import Array, Dtype, Initializer

__all__ = ["GRUCell", "MGUCell", "SimpleCell"]


class SimpleCell(OneStateCell):
    r"""The simple recurrent cell of Elman.

    .. math::
        h' = \tanh(W_i x + b_i + W_h h)

    With `residual`, h is added to the argument of tanh. The carry is h, of shape (batch...,
    features), and h' is the output. Source: Elman, 1990; for the residual, Yue et al., 2018,
    https://arxiv.org/abs/1801.06105.

    Attributes:
      features: number of output features.
      activation_fn: the activation.
      kernel_init: initializer of the kernel of the input.
      recurrent_kernel_init: initializer of the kernel of the hidden state.
      bias_init: initializer of the bias.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.
      residual: add the hidden state before the activation.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.SimpleCell(features=4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (2, 4) ['h', 'i']
    """

    features: int
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros_init()
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros_init()
    residual: bool = False

    @compact
    def __call__(self, carry: Array, inputs: Array) -> tuple[Array, Array]:
        """Compute one time step.

        Args:
          carry: the hidden state, of shape (batch..., features).
          inputs: an array of shape (batch..., n).

        Returns:
          The new hidden state twice, as carry and as output.
        """
        dense_i, dense_h = _dense_pair(self, carry, bias_init=self.bias_init)
        state = dense_i(name="i")(inputs) + dense_h(name="h")(carry)
        if self.residual:
            state = state + carry
        state = self.activation_fn(state)
        return state, state


def _dense_pair(cell: Any, hidden: Array, bias_init: Initializer) -> tuple[Any, Any]:
    """Return constructors of Dense layers: for the input, with a bias, and for the state, without one."""
    dense = functools.partial(
        Dense,
        features=hidden.shape[-1],
        dtype=cell.dtype,
        param_dtype=cell.param_dtype,
        bias_init=bias_init,
    )
    dense_i = functools.partial(dense, kernel_init=cell.kernel_init)
    dense_h = functools.partial(dense, use_bias=False, kernel_init=cell.recurrent_kernel_init)
    return dense_i, dense_h


class GRUCell(OneStateCell):
    r"""Gated recurrent unit.

    .. math::
        r &= \sigma(W_{ir} x + b_{ir} + W_{hr} h) \\
        z &= \sigma(W_{iz} x + b_{iz} + W_{hz} h) \\
        n &= \tanh(W_{in} x + b_{in} + r (W_{hn} h + b_{hn})) \\
        h' &= (1 - z) n + z h

    The carry is h, of shape (batch..., features), and h' is the output. Source: Cho et al., 2014,
    https://arxiv.org/abs/1406.1078.

    Attributes:
      features: number of output features.
      gate_fn: activation of the gates r and z.
      activation_fn: activation of n.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the hidden state.
      bias_init: initializer of the biases.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.GRUCell(features=4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (2, 4) ['hn', 'hr', 'hz', 'in', 'ir', 'iz']
    """

    features: int
    gate_fn: Callable[..., Any] = sigmoid
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros_init()
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros_init()

    @compact
    def __call__(self, carry: Array, inputs: Array) -> tuple[Array, Array]:
        """Compute one time step.

        Args:
          carry: the hidden state, of shape (batch..., features).
          inputs: an array of shape (batch..., n).

        Returns:
          The new hidden state twice, as carry and as output.
        """
        h = carry
        dense_i, dense_h = _dense_pair(self, h, bias_init=self.bias_init)
        r = self.gate_fn(dense_i(name="ir")(inputs) + dense_h(name="hr")(h))
        z = self.gate_fn(dense_i(name="iz")(inputs) + dense_h(name="hz")(h))
        n = self.activation_fn(
            dense_i(name="in")(inputs) + r * dense_h(name="hn", use_bias=True)(h)
        )
        new_h = (1.0 - z) * n + z * h
        return new_h, new_h


class MGUCell(OneStateCell):
    r"""Minimal gated unit.

    .. math::
        f &= \sigma(W_{if} x + b_{if} + W_{hf} h) \\
        n &= \tanh(W_{in} x + b_{in} + f (W_{hn} h + b_{hn})) \\
        h' &= (1 - f) n + f h

    Without `reset_gate` n has neither the factor f nor the bias :math:`b_{hn}`. The carry is h, of
    shape (batch..., features), and h' is the output. Source: Zhou et al., 2016,
    https://arxiv.org/abs/1603.09420; for the bias of the forget gate, Jozefowicz et al., 2015,
    https://proceedings.mlr.press/v37/jozefowicz15.html.

    Attributes:
      features: number of output features.
      gate_fn: activation of the gate f.
      activation_fn: activation of n.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the hidden state.
      forget_bias_init: initializer of the bias of f. Ones keep gradients from vanishing at the start of training.
      activation_bias_init: initializer of the biases of n.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.
      reset_gate: let the gate act inside n too.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.MGUCell(features=4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (2, 4) ['hf', 'hn', 'if', 'in']
    """

    features: int
    gate_fn: Callable[..., Any] = sigmoid
    activation_fn: Callable[..., Any] = tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    forget_bias_init: Initializer = initializers.ones_init()
    activation_bias_init: Initializer = initializers.zeros_init()
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros_init()
    reset_gate: bool = True

    @compact
    def __call__(self, carry: Array, inputs: Array) -> tuple[Array, Array]:
        """Compute one time step.

        Args:
          carry: the hidden state, of shape (batch..., features).
          inputs: an array of shape (batch..., n).

        Returns:
          The new hidden state twice, as carry and as output.
        """
        h = carry
        dense_i, dense_h = _dense_pair(self, h, bias_init=self.activation_bias_init)
        f = self.gate_fn(
            dense_i(name="if", bias_init=self.forget_bias_init)(inputs) + dense_h(name="hf")(h)
        )
        x = dense_h(name="hn", use_bias=self.reset_gate)(h)
        if self.reset_gate:
            x = x * f
        n = self.activation_fn(dense_i(name="in")(inputs) + x)
        new_h = (1.0 - f) * n + f * h
        return new_h, new_h
