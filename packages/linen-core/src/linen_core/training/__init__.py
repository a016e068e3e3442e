"""Helpers for training loops, with the names of ``flax.training``. See also `linen_core.train_state`."""

from linen_core.training import common_utils as common_utils
from linen_core.training import dynamic_scale as dynamic_scale
from linen_core.training import early_stopping as early_stopping
from linen_core.training import lr_schedule as lr_schedule
from linen_core.training import prefetch_iterator as prefetch_iterator
