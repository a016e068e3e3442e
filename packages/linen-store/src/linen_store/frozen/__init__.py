"""Immutable variables: FrozenDict and the store over one."""

__all__: list[str] = []
