"""Recurrent cells with long short-term memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from linen_core.layers import initializers
from linen_core.layers._common import default_kernel_init
from linen_core.layers._staging import add_bias
from linen_core.layers.activation import sigmoid, tanh
from linen_core.layers.conv import Conv
from linen_core.layers.dense import Dense
from linen_core.layers.dtypes import promote_dtype
from linen_core.layers.recurrent_base import TwoStatesCell, default_recurrent_init
from linen_core.module import Module, compact, nowrap
from linen_core.typing import Array, Dtype, Initializer, PrecisionLike

__all__ = ["ConvLSTMCell", "DenseParams", "LSTMCell", "OptimizedLSTMCell"]


class LSTMCell(TwoStatesCell):
    r"""Long short-term memory.

    .. math::
        i &= \sigma(W_{ii} x + W_{hi} h + b_{hi}) \\
        f &= \sigma(W_{if} x + W_{hf} h + b_{hf}) \\
        g &= \tanh(W_{ig} x + W_{hg} h + b_{hg}) \\
        o &= \sigma(W_{io} x + W_{ho} h + b_{ho}) \\
        c' &= f c + i g \\
        h' &= o \tanh(c')

    The carry is (c, h), each of shape (batch..., features); h' is the output. Source: Hochreiter
    and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735.

    Attributes:
      features: number of output features.
      gate_fn: activation of the gates i, f and o.
      activation_fn: activation of g and of the memory.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the hidden state.
      bias_init: initializer of the biases.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.LSTMCell(features=4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (2, 4) ['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io']
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
    def __call__(self, carry: tuple[Array, Array], inputs: Array) -> tuple[Any, Array]:
        """Compute one time step.

        Args:
          carry: memory and hidden state, each of shape (batch..., features).
          inputs: an array of shape (batch..., n).

        Returns:
          The new carry, and the new hidden state as the output.
        """
        c, h = carry
        dense_h = functools.partial(
            Dense,
            features=h.shape[-1],
            use_bias=True,
            kernel_init=self.recurrent_kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        dense_i = functools.partial(
            Dense,
            features=h.shape[-1],
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        i = self.gate_fn(dense_i(name="ii")(inputs) + dense_h(name="hi")(h))
        f = self.gate_fn(dense_i(name="if")(inputs) + dense_h(name="hf")(h))
        g = self.activation_fn(dense_i(name="ig")(inputs) + dense_h(name="hg")(h))
        o = self.gate_fn(dense_i(name="io")(inputs) + dense_h(name="ho")(h))
        new_c = f * c + i * g
        new_h = o * self.activation_fn(new_c)
        return (new_c, new_h), new_h


class DenseParams(Module):
    """The parameters of a Dense layer, without the layer.

    Attributes:
      features: the number of output features.
      use_bias: whether to add a bias.
      param_dtype: dtype of the parameters.
      precision: unused.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.

    >>> import jax, jax.numpy as jnp
    >>> (kernel, bias), _ = DenseParams(4).init_with_output(jax.random.key(0), jnp.ones((1, 3)))
    >>> print(kernel.shape, bias.shape)
    (3, 4) (4,)
    """

    features: int
    use_bias: bool = True
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()

    @compact
    def __call__(self, inputs: Array) -> tuple[Array, Array | None]:
        """Create or read the parameters.

        Args:
          inputs: an array of shape (..., n).

        Returns:
          A kernel of shape (n, features), and a bias of shape (features,), or None.
        """
        shape = (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", self.bias_init, (self.features,), self.param_dtype)


class OptimizedLSTMCell(TwoStatesCell):
    """Long short-term memory with a single matrix product for all gates.

    Formula, parameters and carry are those of `LSTMCell`. It is faster for up to about 2,048
    features.

    Attributes:
      features: number of output features.
      gate_fn: activation of the gates i, f and o.
      activation_fn: activation of g and of the memory.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the hidden state.
      bias_init: initializer of the biases.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.OptimizedLSTMCell(features=4), jnp.ones((2, 3))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (2, 4) ['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io']
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
    def __call__(self, carry: tuple[Array, Array], inputs: Array) -> tuple[Any, Array]:
        """Compute one time step.

        Args:
          carry: memory and hidden state, each of shape (batch..., features).
          inputs: an array of shape (batch..., n).

        Returns:
          The new carry, and the new hidden state as the output.
        """
        c, h = carry
        params = functools.partial(
            DenseParams,
            features=h.shape[-1],
            param_dtype=self.param_dtype,
            bias_init=self.bias_init,
        )
        # Separate parameters, as in LSTMCell, keep its initial values and checkpoints. Only the products are joined.
        for_inputs, for_hidden = {}, {}
        for gate in "ifgo":
            for_inputs[gate] = params(
                use_bias=False, kernel_init=self.kernel_init, name=f"i{gate}"
            )(inputs)
            for_hidden[gate] = params(
                use_bias=True, kernel_init=self.recurrent_kernel_init, name=f"h{gate}"
            )(h)
        from_hidden = self._products(h, for_hidden)
        from_inputs = self._products(inputs, for_inputs)
        i = self.gate_fn(from_hidden["i"] + from_inputs["i"])
        f = self.gate_fn(from_hidden["f"] + from_inputs["f"])
        g = self.activation_fn(from_hidden["g"] + from_inputs["g"])
        o = self.gate_fn(from_hidden["o"] + from_inputs["o"])
        new_c = f * c + i * g
        new_h = o * self.activation_fn(new_c)
        return (new_c, new_h), new_h

    @nowrap
    def _products(
        self, inputs: Array, params: Mapping[str, tuple[Array, Array | None]]
    ) -> dict[str, Array]:
        """Multiply by all kernels in a single product, and add the biases if there are any."""
        kernels, biases = zip(*params.values(), strict=True)
        kernel = jnp.concatenate(kernels, axis=-1)
        bias = None if biases[0] is None else jnp.concatenate(biases, axis=-1)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        y = jnp.dot(inputs, kernel)
        if bias is not None:
            y = add_bias(y, bias, (1,) * (y.ndim - 1) + bias.shape)
        return dict(zip(params, jnp.split(y, len(kernels), axis=-1), strict=True))


class ConvLSTMCell(TwoStatesCell):
    r"""Long short-term memory with convolutions instead of matrix products.

    .. math::
        i &= \sigma(W_{ii} * x + W_{hi} * h + b_i) \\
        f &= \sigma(W_{if} * x + W_{hf} * h + b_f + 1) \\
        g &= \tanh(W_{ig} * x + W_{hg} * h + b_g) \\
        o &= \sigma(W_{io} * x + W_{ho} * h + b_o) \\
        c' &= f c + i g \\
        h' &= o \tanh(c')

    The carry is (c, h), each of shape (batch..., space..., features); h' is the output. The
    parameters are the Conv layers `ih` and `hh`, with 4 * features outputs each. Source: Shi et
    al., 2015, https://arxiv.org/abs/1506.04214.

    Attributes:
      features: number of output features.
      kernel_size: size of the window along each spatial axis.
      strides: step between two windows; by default 1.
      padding: as for `Conv`.
      use_bias: whether to add biases.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters, and of the first carry.
      carry_init: initializer of the first carry.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> cell, x = nn.ConvLSTMCell(features=4, kernel_size=(2, 2)), jnp.ones((3, 5, 5, 1))
    >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
    >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
    >>> print(y.shape, sorted(variables["params"]))
    (3, 5, 5, 4) ['hh', 'ih']
    """

    features: int
    kernel_size: Sequence[int]
    strides: Sequence[int] | None = None
    padding: str | Sequence[tuple[int, int]] = "SAME"
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros_init()

    @compact
    def __call__(self, carry: tuple[Array, Array], inputs: Array) -> tuple[Any, Array]:
        """Compute one time step.

        Args:
          carry: memory and hidden state, each of shape (batch..., space..., features).
          inputs: an array of shape (batch..., space..., n).

        Returns:
          The new carry, and the new hidden state as the output.
        """
        c, h = carry
        conv = functools.partial(
            Conv,
            features=4 * self.features,
            kernel_size=self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        gates = conv(name="ih")(inputs) + conv(name="hh")(h)
        i, g, f, o = jnp.split(gates, 4, axis=-1)
        new_c = sigmoid(f + 1) * c + sigmoid(i) * tanh(g)
        new_h = sigmoid(o) * tanh(new_c)
        return (new_c, new_h), new_h

    @property
    def num_feature_axes(self) -> int:
        return len(self.kernel_size) + 1
