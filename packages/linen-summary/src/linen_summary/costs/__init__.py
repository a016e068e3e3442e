"""The measures of a call: one file for each kind of cost."""

__all__: list[str] = []
