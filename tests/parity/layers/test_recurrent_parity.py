"""Cells and recurrent networks do what flax's do."""

from __future__ import annotations

import flax.linen as flax_nn
import flax.linen.recurrent
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from parity._compare import assert_same_tree, parity_settings
from parity.layers._draw import array, compare, dtypes, ones_of, typed

CELLS = ("LSTMCell", "OptimizedLSTMCell", "SimpleCell", "GRUCell", "MGUCell")


def _own(name, residual, reset_gate):
    if name == "SimpleCell":
        return {"residual": residual}
    return {"reset_gate": reset_gate} if name == "MGUCell" else {}


@parity_settings(share=2)
@hypothesis.given(
    name=st.sampled_from(CELLS),
    options=st.fixed_dictionaries({"dtypes": dtypes}),
    residual=st.booleans(),
    reset_gate=st.booleans(),
    shape=st.sampled_from([(2, 3), (3,), (2, 1, 3)]),
    relu=st.booleans(),
)
def test_cell(name, options, residual, reset_gate, shape, relu):
    dtype, options = typed(options)
    options |= {"features": 4, **_own(name, residual, reset_gate)}
    options |= {"activation_fn": jnp.abs} if relu else {}
    cells = [getattr(library, name)(**options) for library in (nn, flax_nn)]
    carries = [cell.initialize_carry(jax.random.key(0), shape) for cell in cells]
    assert_same_tree(*carries)
    assert cells[0].num_feature_axes == cells[1].num_feature_axes
    compare(name, carries[0], array(shape, dtype), options=options)


@parity_settings(share=8)
@hypothesis.given(
    options=st.fixed_dictionaries(
        {"dtypes": dtypes, "use_bias": st.booleans(), "strides": st.sampled_from([None, 1])}
    ),
    shape=st.sampled_from([(2, 4, 4, 2), (4, 4, 2)]),
    carry_init=st.sampled_from([jax.nn.initializers.zeros, jax.nn.initializers.normal(1.0)]),
)
def test_conv_lstm_cell(options, shape, carry_init):
    dtype, options = typed(options)
    options |= {"features": 3, "kernel_size": (2, 2), "carry_init": carry_init}
    carries = [
        library.ConvLSTMCell(**options).initialize_carry(jax.random.key(0), shape)
        for library in (nn, flax_nn)
    ]
    assert_same_tree(*carries)
    compare("ConvLSTMCell", carries[0], array(shape, dtype), options=options)


@parity_settings(share=3)
@hypothesis.given(
    cell=st.sampled_from(CELLS),
    options=ones_of(
        time_major=[False, False, True],
        return_carry=[True, False],
        reverse=[True, False],
        keep_order=[True, False],
    ),
    unroll=st.sampled_from([1, 2]),
    in_call=st.booleans(),
    lengths=st.sampled_from([None, (5, 2), (1, 3)]),
    carry=st.booleans(),
)
def test_rnn(cell, options, unroll, in_call, lengths, carry):
    x = array((5, 2, 3) if options["time_major"] else (2, 5, 3))
    fields, run = ({}, options) if in_call else (options, {})
    if carry:
        run = {
            **run,
            "initial_carry": getattr(nn, cell)(4).initialize_carry(jax.random.key(5), (2, 3)),
        }
    if lengths is not None:
        run = {**run, "seq_lengths": jnp.array(lengths)}
    compare(lambda lib: lib.RNN(getattr(lib, cell)(4), unroll=unroll, **fields), x, **run)


@parity_settings(share=10)
@hypothesis.given(
    options=ones_of(time_major=[True, False], return_carry=[True, False]),
    merge=st.sampled_from([None, jnp.add]),
    lengths=st.sampled_from([None, (5, 2)]),
    key=st.booleans(),
)
def test_bidirectional(options, merge, lengths, key):
    x = array((5, 2, 3) if options["time_major"] else (2, 5, 3))
    options |= {} if merge is None else {"merge_fn": merge}
    run = {} if lengths is None else {"seq_lengths": jnp.array(lengths)}
    run |= {"init_key": jax.random.key(4)} if key else {}

    def build(lib):
        return lib.Bidirectional(lib.RNN(lib.GRUCell(4)), lib.RNN(lib.GRUCell(4)), **options)

    compare(build, x, **run)


def test_rnn_over_images():
    compare(lambda lib: lib.RNN(lib.ConvLSTMCell(3, (2, 2))), array((2, 3, 4, 4, 2)))


def test_rnn_with_dropout_in_each_step():
    def build(lib):
        class Cell(lib.RNNCellBase):
            @lib.compact
            def __call__(self, carry, x):
                y = lib.Dropout(0.5, deterministic=False)(lib.Dense(3)(x + carry))
                return y, y

            @lib.nowrap
            def initialize_carry(self, rng, input_shape):
                return jnp.zeros(input_shape)

            @property
            def num_feature_axes(self):
                return 1

        return lib.RNN(Cell(), split_rngs={"params": False, "dropout": True})

    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    compare(build, array((2, 4, 3)), key=keys, rngs={"dropout": jax.random.key(2)})


def test_carries_of_sequences_with_two_batch_axes_are_those_of_their_ends():
    x, lengths = array((2, 3, 5, 4)), jnp.array([[1, 5, 2], [3, 3, 4]])
    rnn = nn.RNN(nn.GRUCell(4), return_carry=True)
    variables = rnn.init(jax.random.key(0), x)
    carry, y = rnn.apply(variables, x, seq_lengths=lengths)
    for i, j in np.ndindex(2, 3):
        assert np.array_equal(carry[i, j], y[i, j, lengths[i, j] - 1])


@pytest.mark.parametrize("time_major", [True, False])
def test_flip_sequences(time_major):

    x, lengths = array((4, 2, 3) if time_major else (2, 4, 3)), jnp.array([4, 2])
    for given in (None, lengths):
        flipped = [
            r.flip_sequences(x, given, 1, time_major) for r in (nn.recurrent, flax.linen.recurrent)
        ]
        assert_same_tree(*flipped)


def test_sharing_one_network_in_both_directions_is_logged(caplog):
    rnn = nn.RNN(nn.GRUCell(2))
    nn.Bidirectional(rnn, rnn).init(jax.random.key(0), array((2, 3, 2)))
    text = "The forward and the backward network of a Bidirectional are one object: they share their parameters."
    assert text in caplog.messages
