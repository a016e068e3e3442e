"""The results of a migration as text."""

from __future__ import annotations

import difflib

__all__ = ["unified_diff"]


def unified_diff(path: str, old: bytes, new: bytes) -> str:
    r"""Return the difference of two contents in the format of `diff -u`.

    Example:
      >>> print(unified_diff("a.py", b"x\ny", b"x\nz"))
      --- a/a.py
      +++ b/a.py
      @@ -1,2 +1,2 @@
       x
      -y
      \ No newline at end of file
      +z
      \ No newline at end of file
      <BLANKLINE>
    """
    name = path.lstrip("/")
    lines = difflib.unified_diff(_split(old), _split(new), f"a/{name}", f"b/{name}")
    missing = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + missing for line in lines)


def _split(data: bytes) -> list[str]:
    """Return lines with their ends, as `patch` counts them: only a line feed ends a line."""
    lines = data.decode(errors="replace").split("\n")
    return [line + "\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]
