"""Whether tracebacks show Linen's own frames.

A traceback that leaves `init`, `apply` or `bind` shows the user's frames and hides those of Linen and JAX. All
frames come back with JAX's own switch, ``jax.config.update("jax_traceback_filtering", "off")``; those of Linen
alone with `show_linen_in_tracebacks`.
"""

from __future__ import annotations

import pathlib

from linen_core._jax_compat import hide_frames_of, show_frames_of

__all__ = [
    "hide_flax_in_tracebacks",
    "hide_linen_in_tracebacks",
    "show_flax_in_tracebacks",
    "show_linen_in_tracebacks",
]

_FOLDER = pathlib.Path(__file__).parent


def hide_linen_in_tracebacks() -> None:
    """Leave Linen's frames out of tracebacks (the default).

    Example:
      >>> import linen_core as nn
      >>> nn.traceback_util.hide_linen_in_tracebacks()
    """
    hide_frames_of(_FOLDER)


def show_linen_in_tracebacks() -> None:
    """Keep Linen's frames in tracebacks.

    Example:
      >>> import linen_core as nn
      >>> nn.traceback_util.show_linen_in_tracebacks()
      >>> nn.traceback_util.hide_linen_in_tracebacks()
    """
    show_frames_of(_FOLDER)


# What programs written for flax call them.
hide_flax_in_tracebacks = hide_linen_in_tracebacks
show_flax_in_tracebacks = show_linen_in_tracebacks

hide_linen_in_tracebacks()
