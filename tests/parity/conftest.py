"""How the programs of the parity tests are compiled, and that they are forgotten in the end."""

import jax
import pytest

from parity import _compare as compare

# These look at what the compiler makes of a program.
WITH_OPTIMIZATIONS = {
    "test_compiled_parity",
    "test_compiled_transforms",
    "test_lazy_init",
    "test_op_names",
}


@pytest.fixture(autouse=True, scope="module")
def _quick_compilation(request):
    """Compile without most optimisations, which takes two thirds of the time.

    Longer runs have them, and gradients that are compiled as a whole always.
    """
    name = request.module.__name__.rpartition(".")[2]
    quick = compare.EXAMPLES <= compare.USUAL_EXAMPLES and name not in WITH_OPTIMIZATIONS
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()  # thousands of small programs would take gigabytes
