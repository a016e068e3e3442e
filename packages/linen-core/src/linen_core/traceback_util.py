"""Hide or show Linen's own frames in tracebacks.

A traceback that leaves `init`, `apply` or `bind` shows the user's frames and hides those of Linen and JAX. To show all
frames, use JAX's option ``jax.config.update("jax_traceback_filtering", "off")``. To show only those of Linen, call
`show_linen_in_tracebacks`.
"""

from __future__ import annotations

import pathlib

from linen_core._jax_compat import api_boundary as api_boundary
from linen_core._jax_compat import hide_frames_of, show_frames_of

__all__ = [
    "api_boundary",
    "hide_flax_in_tracebacks",
    "hide_linen_in_tracebacks",
    "register_exclusion",
    "show_flax_in_tracebacks",
    "show_linen_in_tracebacks",
]

_FOLDER = pathlib.Path(__file__).parent


def hide_linen_in_tracebacks() -> None:
    """Hide Linen's frames in tracebacks (the default).

    Example:
      >>> import linen_core as nn
      >>> nn.traceback_util.hide_linen_in_tracebacks()
    """
    hide_frames_of(_FOLDER)


def show_linen_in_tracebacks() -> None:
    """Show Linen's frames in tracebacks.

    Example:
      >>> import linen_core as nn
      >>> nn.traceback_util.show_linen_in_tracebacks()
      >>> nn.traceback_util.hide_linen_in_tracebacks()
    """
    show_frames_of(_FOLDER)


def register_exclusion(path: str) -> None:
    """Hide the frames of a file, or of all files in a folder, in tracebacks.

    Args:
      path: the path, for example ``__file__`` of a library that builds on Linen.

    Example:
      >>> register_exclusion("/path/to/my_library")
    """
    hide_frames_of(pathlib.Path(path))


# The names in flax.
hide_flax_in_tracebacks = hide_linen_in_tracebacks
show_flax_in_tracebacks = show_linen_in_tracebacks

hide_linen_in_tracebacks()
