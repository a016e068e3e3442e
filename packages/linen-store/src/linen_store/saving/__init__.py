"""Saving a checkpoint, and converting one to another format."""

from linen_store.saving.checkpoint import check_target as check_target
from linen_store.saving.checkpoint import save as save
from linen_store.saving.handle import SaveHandle as SaveHandle

__all__ = ["SaveHandle", "check_target", "save"]
