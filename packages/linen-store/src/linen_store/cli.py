"""The command ``linen-store``: look at checkpoints, compare, verify, convert and plan with them.

Exit codes: 0 success, 1 a difference or damage was found, 2 the command failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from linen_core.errors import LinenError
from linen_store.commands.actions import COMMANDS, Outcome
from linen_store.commands.completion import SHELLS
from linen_store.commands.option_names import with_option_names
from linen_store.commands.parser import PROGRAM, make_parser
from linen_store.commands.render import render

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: the command line, ``sys.argv`` by default.

    Returns:
      The exit code: 0 success, 1 a difference or damage was found, 2 the command failed.

    Example:
      >>> import os, tempfile, numpy as np, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> linen_store.save(path, {"params": {"bias": np.zeros(3, np.float32)}})
      >>> main(["ls", path, "--json"])
      {"leaves": [{"name": "params/bias", "dtype": "float32", "shape": [3], "bytes": 12}], "count":
      1, "bytes": 12} 0
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.command == "completion":
        _print(SHELLS[options.shell](parser))
        return 0
    try:
        outcome: Outcome = COMMANDS[options.command](options)
    except (LinenError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{PROGRAM}: {with_option_names(str(error))}\n")
        return 2
    _print(render(outcome, as_json=options.json))
    return outcome.code


def _print(text: str) -> None:
    """Print, and ignore that a reader such as ``head`` has closed the pipe."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes again at exit, which would fail on the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
