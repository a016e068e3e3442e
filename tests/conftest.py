"""Runs before any test: eight devices, quick compilation, and the same random cases in every run of continuous integration.

The CPU stands in for the devices, so that sharding can be tested.
"""

import gc
import importlib.util
import os
import tempfile

import jax
import pytest
from hypothesis import settings
from jax.experimental.compilation_cache import compilation_cache

# These compare with models of PyTorch, in an environment of their own: `hatch run layouts:test`.
collect_ignore = [] if importlib.util.find_spec("torch") else ["layouts"]

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling takes most of the time. Longer runs compile as users do.
QUICK = "LINEN_EXAMPLES" not in os.environ
_DEVICES = os.environ.get("LINEN_DEVICES", "8")
_FLAGS = [f"--xla_force_host_platform_device_count={_DEVICES}"]
if QUICK and jax.__version_info__ < (0, 11):
    # XLA's former code generator takes half the time. Later ones have it no more. No program is worth several threads.
    _FLAGS += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
_GIVEN = os.environ.get("XLA_FLAGS", "").split()
os.environ["XLA_FLAGS"] = " ".join(_GIVEN + [flag for flag in _FLAGS if flag not in _GIVEN])

# These look at what the compiler makes of a program, or at the last bits of what that computes, here or elsewhere.
WITH_OPTIMIZATIONS = {
    "test_deferred_init",
    "test_demo",
    "test_drawing",
    "test_lazy_init",
    "test_numerics",
    "test_op_names",
    "test_pickled_by_value",
    "test_sharded_layers",
}
if jax.__version_info__ >= (0, 11):
    # Without optimizations, gradients of the moved program have other last bits there.
    WITH_OPTIMIZATIONS.add("test_code_bases")

# Files compute something when they are imported.
jax.config.update("jax_disable_most_optimizations", QUICK)

if QUICK and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # The processes of a run, those of pytest-xdist and those that tests start, compile a program once between them.
    PROGRAMS = tempfile.TemporaryDirectory(prefix="linen-programs-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", PROGRAMS.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

settings.register_profile("linen", deadline=None)
settings.register_profile("ci", settings.get_profile("linen"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "linen")

# JAX keeps many objects for long: to look through them all as often as Python does takes a tenth of the time.
gc.set_threshold(200_000, 50, 100)


@pytest.fixture(autouse=True, scope="module")
def _quick_compilation(request):
    """Compile without most optimisations."""
    name = request.module.__name__.rpartition(".")[2]
    _compile_quickly(QUICK and name not in WITH_OPTIMIZATIONS)


def _compile_quickly(quickly):
    """Switch, and forget the programs compiled so far: JAX would run them again, however they were compiled."""
    if quickly != jax.config.read("jax_disable_most_optimizations"):
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", quickly)
        # Of two programs that differ in names only, the cache would return the first.
        jax.config.update("jax_enable_compilation_cache", quickly)
        compilation_cache.reset_cache()
    # for processes that a test starts
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quickly))
