"""Runs before any test: eight devices, and the same random cases in every run of continuous integration.

The CPU stands in for the devices, so that sharding can be tested.
"""

import os

from hypothesis import settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_FLAG = "--xla_force_host_platform_device_count=8"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

settings.register_profile("linen", deadline=None)
settings.register_profile("ci", settings.get_profile("linen"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "linen")
