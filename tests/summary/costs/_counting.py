"""FLOPs of functions by XLA's cost analysis and by linen-summary."""

import jax

from linen_summary.costs.flops import FlopCounter


def xla_flops(function, *args):
    return int(jax.jit(function).lower(*args).cost_analysis().get("flops", 0))


def counted(function, *args, every_iteration=False):
    traced = jax.jit(function).trace(*args)
    return FlopCounter(every_iteration=every_iteration).count(traced)


def assert_counted(function, *args):
    assert counted(function, *args) == xla_flops(function, *args)
