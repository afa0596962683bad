"""How models go that are kept here while MLflow is away."""

from __future__ import annotations

from ..modeling import local
from ..removal import Removal, kept

REMOVAL = Removal(removers={local.KIND: kept(local.KIND, local.models_kept, "train_model makes one.")})
