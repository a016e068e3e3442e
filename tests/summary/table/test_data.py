"""Rows and tables are values: sequences that sort, filter, compare and pickle."""

import pickle

import jax
import jax.numpy as jnp

import linen_core as nn
from linen_summary import summarize

KEY = jax.random.key(0)


X = jax.ShapeDtypeStruct((2, 3), jnp.float32)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(4)(x)))


def test_rows_are_data():
    table = summarize(MLP(), KEY, X)
    assert [row.name for row in table] == ["", "Dense_1", "Dense_0"]  # in the order of the calls
    row = next(row for row in table if row.outputs.shape == (2, 4))
    assert (row.module_type, row.method, row.inputs) == ("Dense", "__call__", X)
    assert row.module_variables["params"]["kernel"] == jax.ShapeDtypeStruct((3, 4), jnp.float32)
    assert (row.size, row.bytes, row.calls, row.repeated) == (16, 64, 1, False)
    assert row.module_copy.features == 4
    assert row.module_copy.scope is None


def test_table_is_a_sequence_that_sorts_and_filters():
    table = summarize(MLP(), KEY, X, compute_flops=True)
    assert len(table) == 3
    assert table[0].path == ()
    assert len(table[1:]) == 2
    by_size = table.sorted("size", reverse=True)
    assert [row.size for row in by_size] == [16, 10, 0]
    assert [row.flops for row in table.sorted(lambda row: row.flops)] == sorted(
        row.flops for row in table
    )
    dense = table.filter(lambda row: row.module_type == "Dense")
    assert (len(dense), dense.size, dense.flops) == (2, 26, None)
    assert table.totals() == {"params": (26, 104)}


def test_tables_are_values():
    table, other = (summarize(MLP(), KEY, X, compute_flops=True) for _ in range(2))
    assert table == other == pickle.loads(pickle.dumps(table))
    assert hash(table) == hash(other)
    assert table[0] == other[0] != other[1]
    assert table != table[1:]
    assert table != summarize(MLP(), KEY, X)
    assert repr(table) == "Table('MLP Summary', 3 rows)"
    assert "path=('Dense_1',)" in repr(table[1])


def test_rows_without_a_number_are_sorted_last():
    table = summarize(MLP(), KEY, X)
    assert [row.index for row in table.sorted("flops")] == [row.index for row in table]
