"""Data, and models that are trained once, of which every test makes versions under a name of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_mcp.tools.registry import client, promotion, stages
from mlops_mcp.tools.registry.models import GateName, LogRequest, PromoteRequest, Promotion, Stage, Transition
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest


def rows(number: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({name: random.normal(shift, 1, number) for name in ("a", "b", "c")})
    frame["k"] = random.choice(["x", "y"], number)
    score = frame["a"] + frame["b"] + random.normal(0, 0.7, number)
    return frame.assign(
        y=(score > 2 * shift).astype(int), z=np.where(score > 0, "yes", "no"), n=score, t=pd.cut(score, 3, labels=False)
    )


@dataclass
class Shop:
    """An installation with data and models, each trained once; every test registers them under a name of its own."""

    work: Work
    data: dict[str, str]
    trained: dict[str, str]
    name: str = ""

    def train(self, key: str) -> str:
        features, target, more = MODELS[key]
        if key not in self.trained:
            asked: dict[str, Any] = {
                "dataset": self.data["train"], "target": target, "algorithm": "LogisticRegression",
                "features": features, "validation": self.data["test"],
            }  # fmt: skip
            self.trained[key] = train_model(self.work, TrainRequest.model_validate(asked | more)).model
        return self.trained[key]

    def copy(self, key: str) -> str:
        """A model with files of its own, which a test may spoil."""
        request = dict.fromkeys(("run", "name"), "")
        return client.log_model(self.work, LogRequest(model=self.train(key), **request)).model

    def register(self, *keys: str) -> None:
        for key in keys:
            client.register_model(self.work, self.train(key), self.name, {}, "")

    def promote(
        self, candidate: str, rows: str = "test", gates: list[GateName] | None = None, **more: Any
    ) -> Promotion:
        asked = {
            "name": self.name, "candidate": self.trained.get(candidate, candidate),
            "dataset": self.data.get(rows, rows), "metric": "", "min_gain": 0, "suite": "", "group": "",
        }  # fmt: skip
        return promotion.promote_model(self.work, PromoteRequest.model_validate(asked | {"gates": gates or []} | more))

    def move(self, number: int, stage: Stage = "Production") -> Transition:
        return stages.transition_stage(self.work, self.version(number), stage, True)

    def back(self) -> str:
        return stages.rollback_model(self.work, self.name).model

    def version(self, number: int) -> str:
        return f"model:{self.name}/{number}"

    @property
    def in_production(self) -> str:
        return client.get_latest_version(self.work, self.name, ["Production"]).model

    def tags(self, number: int) -> dict[str, str]:
        return client.get_model(self.work, self.version(number), 1, False).versions[0].tags


# Key -> features, target, and what else is asked for.
MODELS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "poor": (["a", "b", "c"], "y", {"algorithm": "RandomForest", "params": {"n_estimators": 2, "max_depth": 2}}),
    "weak": (["a", "c"], "y", {}),
    "weaker": (["a"], "y", {}),
    "other": (["a"], "y", {"params": {"C": 2.0}}),
    "good": (["a", "b"], "y", {}),
    "strong": (["a", "b", "c"], "y", {}),
    "more": (["a", "b", "c", "k"], "y", {}),
    "text": (["a", "b"], "z", {}),
    "number": (["a", "b"], "n", {"algorithm": "Ridge"}),
    "three": (["a", "b"], "t", {}),
}
