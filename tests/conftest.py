"""Runs before any test: eight devices, and the same random cases in every run of continuous integration.

The CPU stands in for the devices, so that sharding can be tested.
"""

import gc
import os

from hypothesis import settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_FLAGS = ["--xla_force_host_platform_device_count=8"]
if "LINEN_EXAMPLES" not in os.environ:
    # XLA's former code generator takes half the time; longer runs have the one that users have.
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
_GIVEN = os.environ.get("XLA_FLAGS", "").split()
os.environ["XLA_FLAGS"] = " ".join(_GIVEN + [flag for flag in _FLAGS if flag not in _GIVEN])

settings.register_profile("linen", deadline=None)
settings.register_profile("ci", settings.get_profile("linen"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "linen")

# JAX keeps many objects for long: to look through them all as often as Python does takes a tenth of the time.
gc.set_threshold(200_000, 50, 100)
