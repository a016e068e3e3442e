"""Move a program from flax to Linen.

In a terminal:

    python -m linen_core.migrate my_project          # print a diff
    python -m linen_core.migrate --write my_project  # apply it

Imports and uses of flax change in Python files, notebooks and requirement files. Every other byte stays. A name that
Linen lacks still comes from flax, and is listed with its place and what to do.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable, Sequence

from linen_core.migration.files import files_of, is_python, leaves_tree, read_file, replace_file
from linen_core.migration.findings import Rewrite, UnreadableError
from linen_core.migration.notebooks import rewrite_notebook
from linen_core.migration.python_files import rewrite_python
from linen_core.migration.requirements import is_requirement_file, rewrite_requirements

__all__ = ["main"]

_EXIT_CODES = """exit codes:
  0  nothing is left to do
  1  files would change; run again with --write
  2  some lines need a person: they are listed
  3  a file could not be read, parsed or written, and is left as it is
The highest code that applies is returned."""


class _Migration:
    """One run: the state that its files share."""

    def __init__(self, paths: Sequence[str], *, write: bool) -> None:
        self.paths, self.write = paths, write
        self.packages: set[str] = set()
        self.code = 0
        self.changed = self.left = 0

    def run(self) -> int:
        files = list(files_of(self.paths))
        # Requirements come last: they depend on the packages that the sources use.
        for path in sorted(files, key=is_requirement_file):
            self._visit(path)
        verb = "Changed" if self.write else "Would change"
        sys.stderr.write(f"{verb} {self.changed} of {len(files)} files; {self.left} places left.\n")
        return self.code

    def _visit(self, path: str) -> None:
        if os.path.islink(path):
            if leaves_tree(path, self.paths):
                self.code = 3 if path in self.paths else self.code
                sys.stderr.write(f"{path}: Is a symbolic link, and is left. Name its target.\n")
            return
        try:
            data = read_file(path)
            result = self._rewriter_of(path)(data)
            self.packages |= result.packages
            if result.data != data:
                self._change(path, data, result.data)
        except UnreadableError as error:
            self.code = 3
            # The file may use flax.
            self.packages.add("flax")
            sys.stderr.write(f"{path}: {error}\n")
            return
        for finding in result.findings:
            self.left += 1
            self.code = max(self.code, 2 if finding.needs_person else 0)
            sys.stderr.write(finding.describe(path) + "\n")

    def _change(self, path: str, old: bytes, new: bytes) -> None:
        if self.write:
            replace_file(path, new)
        else:
            self.code = max(self.code, 1)
            sys.stdout.write(_unified_diff(path, old, new))
        self.changed += 1

    def _rewriter_of(self, path: str) -> Callable[[bytes], Rewrite]:
        if is_python(path):
            return rewrite_python
        if path.endswith(".ipynb"):
            return rewrite_notebook
        return lambda data: rewrite_requirements(path, data, self.packages)


def _unified_diff(path: str, old: bytes, new: bytes) -> str:
    r"""Return the difference of two contents in the format of `diff -u`.

    Example:
      >>> print(_unified_diff("a.py", b"x\ny", b"x\nz"))
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
    # As `patch` counts lines: only a line feed ends one.
    texts = (data.decode(errors="replace") for data in (old, new))
    before, after = (list(io.StringIO(text, newline="\n")) for text in texts)
    diff = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
    missing = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + missing for line in diff)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
      argv: its arguments; those of the process by default.

    Returns:
      The exit code: see ``--help``.

    Example:
      >>> main(["no_such_folder"])
      3
    """
    parser = argparse.ArgumentParser(
        prog="python -m linen_core.migrate",
        description="Move a program from flax to Linen: print a diff, or apply it with --write.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a folder or a file")
    parser.add_argument("--write", action="store_true", help="change the files")
    options = parser.parse_args(argv)
    try:
        return _Migration(options.paths, write=options.write).run()
    except ImportError as error:
        # The names of linen-store and linen-summary are looked up in these packages.
        sys.stderr.write(f"{error}. Run: pip install linen-store linen-summary\n")
        return 3


if __name__ == "__main__":
    sys.exit(main())
