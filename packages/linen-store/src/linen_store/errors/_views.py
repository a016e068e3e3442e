"""Errors of views."""

from __future__ import annotations

from collections.abc import Sequence

from linen_core.errors import StoreError

__all__ = ["MapError", "ViewError"]


class ViewError(StoreError, ValueError):
    """A view does not fit the stores below it.

    Attributes:
      view: the view.
      problems: one line for each leaf that cannot be formed.
    """

    def __init__(self, view: str, problems: Sequence[str]) -> None:
        self.view = view
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(
            f"Cannot make the view {view}:{lines}\nCompare the names and shapes with store.spec(collection), and "
            "change the arguments."
        )


class MapError(StoreError, ValueError):
    """A map cannot be read, or does not suit a store.

    Attributes:
      file: the file of the map; empty if it does not come from one.
      problems: one line for each problem.
    """

    def __init__(self, file: str, problems: Sequence[str]) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        of_file = f" {file!r}" if file else ""
        super().__init__(
            f"Cannot use the map{of_file}:{lines}\nCorrect the rules; `linen-store ls PATH` lists the names."
        )
