import pickle

import numpy as np
import pytest

from mlops_mcp.tools.modeling.card import Label, ModelCard, Task
from mlops_mcp.tools.modeling.metrics import metrics_for

DRAW = np.random.default_rng(0)
CHANCES = DRAW.dirichlet([1.0, 1.0], 60)
ANSWERS = {
    "classification": (DRAW.integers(0, 2, 60), CHANCES),
    "regression": (DRAW.normal(size=60), DRAW.normal(size=60)),
    "effect": (DRAW.normal(size=(60, 2)), DRAW.normal(size=60)),
}


@pytest.mark.parametrize("task", ["classification", "regression", "effect"])
def test_every_metric_is_the_same_in_another_process(task: Task) -> None:
    classes: list[Label] = ["no", "yes"] if task == "classification" else []
    card = ModelCard(
        algorithm="XGBoost", task=task, target="y", classes=classes, features=[], params={}, seed=0, dataset="", rows=60
    )
    metrics = metrics_for(card)
    assert metrics
    for metric in metrics:
        sent = pickle.loads(pickle.dumps(metric))
        assert (sent.name, sent.direction) == (metric.name, metric.direction)
        assert sent.score(*ANSWERS[task]) == metric.score(*ANSWERS[task])
