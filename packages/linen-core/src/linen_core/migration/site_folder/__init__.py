"""A folder that `flax_compat run` puts on the path of Python: Python imports its `sitecustomize` when it starts."""

__all__: list[str] = []
