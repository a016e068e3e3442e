"""linen-store: FrozenDict, checkpoints as variable stores, save and restore."""
