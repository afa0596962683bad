from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.quality.client import create_suite
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.registry import client, promotion, stages
from mlops_mcp.tools.registry.gates import differences
from mlops_mcp.tools.registry.models import Promotion, Stage
from mlops_mcp.tools.tracking import artifacts
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.client import log_text

from .shop import Shop, rows

pytestmark = pytest.mark.slow


def promote(shop: Shop, asked: dict[str, Any]) -> Promotion:
    return shop.promote(**asked)


def verdicts(found: Promotion) -> dict[str, str]:
    return {gate.gate: gate.verdict for gate in found.gates}


def auc(shop: Shop, key: str, frame: pd.DataFrame) -> float:
    stored = find_model(shop.work, shop.train(key))
    return float(roc_auc_score(frame["y"], load_pipeline(stored).predict_proba(design(frame, stored.card))[:, 1]))


def test_the_first_model_is_held_against_the_baseline_and_the_second_against_the_first(shop: Shop) -> None:
    poor, strong = shop.train("poor"), shop.train("strong")
    first = shop.promote(poor)
    assert (first.model, first.promoted, first.before) == (shop.version(1), True, None)
    assert first.comparison is not None
    assert (first.comparison.against, first.comparison.against_score) == ("baseline", 0.5)
    second = shop.promote(strong)
    assert (second.model, second.promoted, second.before) == (shop.version(2), True, shop.version(1))
    assert verdicts(second) == dict.fromkeys(("load", "signature", "drift", "comparison"), "passed")
    compared, frame = second.comparison, rows(500, 1)
    assert compared is not None
    assert compared.candidate_score == pytest.approx(auc(shop, "strong", frame))
    assert compared.gain.value == pytest.approx(auc(shop, "strong", frame) - auc(shop, "poor", frame))
    assert (compared.gain.verdict, compared.gain.n, compared.gain.baseline) == ("better", 500, 0.5)
    assert (shop.in_production, second.undo) == (shop.version(2), f"rollback_model(model={shop.name!r})")


def test_a_candidate_that_is_not_better_stays_out_and_keeps_the_evidence(shop: Shop) -> None:
    shop.promote(shop.train("strong"))
    found = shop.promote(shop.train("weaker"))
    assert (found.promoted, found.verdict, verdicts(found)["comparison"]) == (False, "failed", "failed")
    assert shop.in_production == shop.version(1)
    tags = shop.tags(2)
    assert tags["promotion"] == f"failed on {shop.data['test']}"
    assert tags["promotion.comparison"].startswith(f"failed: worse than {shop.version(1)}: auc")
    assert found.run is not None
    assert found.report == tags["promotion.report"]
    text = artifacts.read_artifact(shop.work, found.run, found.report or "", 0)[0].text or ""
    assert f"# Promotion of {shop.version(2)}: failed" in text
    assert all(gate.evidence in text for gate in found.gates)
    assert found.undo == f"delete(handle='{shop.version(2)}', dry_run=false)"


def test_a_later_decision_leaves_no_tag_of_the_one_before(shop: Shop) -> None:
    shop.register("strong")
    shop.move(1)
    shop.promote(shop.train("weaker"), gates=["drift", "comparison", "signature"])
    assert {"promotion.drift", "promotion.comparison", "promotion.signature"} <= set(shop.tags(2))
    found = shop.promote(shop.version(2), "far", ["drift"])
    tags = {key: value for key, value in shop.tags(2).items() if key.startswith("promotion")}
    assert set(tags) == {"promotion", "promotion.load", "promotion.drift", "promotion.report"}
    assert (tags["promotion"], tags["promotion.report"]) == (f"failed on {shop.data['far']}", found.report)
    assert shop.promote(shop.version(2), "far", ["load"]).promoted
    assert shop.tags(2)["promotion"].startswith("passed")
    assert "promotion.drift" not in shop.tags(2)


@pytest.mark.parametrize(("gain", "promoted"), [(-0.05, True), (0.0, False)])
def test_a_candidate_as_good_as_the_present_one_needs_a_margin_below_zero(
    shop: Shop, gain: float, promoted: bool
) -> None:
    shop.register("strong")
    shop.move(1)
    assert shop.promote(shop.train("good"), min_gain=gain).promoted is promoted


def test_what_is_in_production_already_is_not_promoted_again(shop: Shop) -> None:
    shop.register("strong")
    shop.move(1)
    for candidate in ("strong", shop.version(1), f"model:{shop.name}@production"):
        with pytest.raises(ToolFailure, match=f"{shop.version(1)} is in Production already"):
            shop.promote(candidate)


@pytest.mark.parametrize(
    ("key", "says", "comparison"),
    [
        ("more", "it needs k, which the present one does not take", "failed"),
        ("text", "it predicts z, the present one y", "not_evaluated"),
        ("number", "it predicts n, the present one y", "not_evaluated"),
    ],
)
def test_a_candidate_for_another_question_fails_its_signature(shop: Shop, key: str, says: str, comparison: str) -> None:
    shop.register("strong")
    shop.move(1)
    found = shop.promote(shop.train(key))
    assert (found.promoted, found.verdict) == (False, "failed")
    assert says in next(gate.evidence for gate in found.gates if gate.gate == "signature")
    assert verdicts(found)["comparison"] == comparison


def test_a_candidate_with_other_classes_fails_its_signature(shop: Shop) -> None:
    shop.register("three")
    present = find_model(shop.work, shop.train("three")).card
    one = present.model_copy(update={"classes": [0, 1]})
    assert differences(one, present) == ["its classes are 0, 1, those of the present one 0, 1, 2"]
    assert differences(present, present.model_copy(update={"classes": [2, 1, 0]})) == []


def test_a_present_version_that_does_not_load_is_replaced_by_what_beats_the_baseline(shop: Shop) -> None:
    client.register_model(shop.work, shop.copy("weak"), shop.name, {}, "")
    shop.move(1)
    (find_model(shop.work, shop.version(1)).folder / "model.skops").write_bytes(b"something else")
    found = shop.promote(shop.train("strong"))
    assert (found.promoted, found.before) == (True, shop.version(1))
    assert found.comparison is not None
    assert found.comparison.against == "baseline"
    assert [note.startswith(f"{shop.version(1)} cannot be used") for note in found.notes] == [True]
    with pytest.raises(ToolFailure, match=f"{shop.version(1)}, cannot be used.*{shop.version(2)} stays in Production"):
        shop.back()


def test_a_registered_candidate_that_does_not_load_fails(shop: Shop) -> None:
    client.register_model(shop.work, shop.copy("weak"), shop.name, {}, "")
    (find_model(shop.work, shop.version(1)).folder / "model.skops").write_bytes(b"something else")
    found = shop.promote(shop.version(1))
    assert (found.promoted, verdicts(found)) == (False, {"load": "failed"})
    assert shop.tags(1)["promotion.load"].startswith("failed")


def test_rows_that_a_model_was_trained_on_are_left_out(shop: Shop) -> None:
    found = shop.promote(shop.train("strong"), "train")
    assert (found.promoted, found.verdict) == (False, "not_evaluated")
    assert "every row" in found.gates[-1].evidence
    mixed = shop.promote("strong", "mixed")
    assert mixed.comparison is not None
    assert mixed.comparison.gain.n == 500
    assert mixed.notes == ["40 of 540 rows were trained on, so they were left out of the comparison"]


def test_drifted_inputs_keep_a_candidate_out_unless_the_gate_is_left_out(shop: Shop) -> None:
    found = shop.promote(shop.train("strong"), "far")
    assert (found.promoted, verdicts(found)["drift"]) == (False, "failed")
    assert "3 of 3 inputs are far from the training data" in str(found.gates)
    assert shop.promote("strong", "far", ["comparison"]).promoted


@pytest.mark.parametrize(("low", "verdict"), [(-100.0, "passed"), (0.0, "failed")])
def test_a_dataset_that_breaks_its_rules_promotes_nothing(shop: Shop, low: float, verdict: str) -> None:
    rule = Expectation(type="expect_column_values_to_be_between", kwargs={"column": "a", "min_value": low})
    create_suite(shop.work, shop.name, [rule])
    found = shop.promote(shop.train("strong"), suite=shop.name)
    assert (verdicts(found)["validation"], found.promoted) == (verdict, verdict == "passed")
    assert "of 1 rules" in str(found.gates)


def promoted_meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch, other: str) -> list[Promotion]:
    """Another promotion, which runs between the evidence of the first one and its move."""
    inner: list[Promotion] = []

    def between(*arguments: Any) -> None:
        if not inner:
            monkeypatch.setattr(promotion, "log_text", log_text)
            inner.append(shop.promote(other))
        log_text(*arguments)

    monkeypatch.setattr(promotion, "log_text", between)
    return inner


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = shop.train("weak")
    inner = promoted_meanwhile(shop, monkeypatch, shop.train("strong"))
    late = shop.promote(weak)
    assert (inner[0].promoted, inner[0].model) == (True, shop.version(2))
    assert (late.promoted, late.verdict) == (False, "not_evaluated")
    assert "another version was put into Production meanwhile" in late.notes[-1]
    assert shop.in_production == shop.version(2)
    assert shop.tags(1)["promotion"].startswith("not_evaluated")


def test_the_same_candidate_promoted_twice_at_once_is_promoted_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    strong = shop.train("strong")
    inner = promoted_meanwhile(shop, monkeypatch, strong)
    with pytest.raises(ToolFailure, match=f"{shop.version(1)} was put into Production by another call meanwhile"):
        shop.promote(strong)
    assert inner[0].promoted
    assert shop.tags(1)["promotion"].startswith("passed")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metric": "auk"}, "Did you mean auc"),
        ({"suite": "nowhere"}, "unknown suite"),
        ({"group": "gruop"}, "unknown column"),
        ({"gates": ["validation"]}, "Pass the `suite`"),
        ({"candidate": "model:other/1"}, "unknown model"),
        ({"candidate": "models:/m-0"}, "unknown model"),
        ({"candidate": "local:x"}, "unknown local model"),
        ({"name": "a/b:c"}, "model"),
        ({"dataset": "nowhere"}, "unknown dataset"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_right(shop: Shop, change: dict[str, Any], says: str) -> None:
    shop.register("weak")
    with pytest.raises(ToolFailure, match=says):
        promote(shop, {"candidate": "weak"} | change)


def test_a_rollback_puts_the_version_before_back_and_then_the_one_before_that(shop: Shop) -> None:
    shop.register("weak", "weaker", "strong")
    for number in (1, 2, 3):
        shop.move(number)
    first = stages.rollback_model(shop.work, shop.name)
    assert (first.model, first.archived) == (shop.version(2), [shop.version(3)])
    assert first.undo == f"transition_stage(model={shop.version(3)!r}, stage='Production')"
    assert stages.rollback_model(shop.work, f"model:{shop.name}").model == shop.version(1)
    with pytest.raises(ToolFailure, match=f"before {shop.version(1)}.*transition_stage"):
        shop.back()
    history = client.get_model(shop.work, shop.name, 20, False).history
    assert [(each.version, each.from_stage, each.to_stage, each.by) for each in history][:4] == [
        (2, "Production", "Archived", "rollback_model"),
        (1, "Archived", "Production", "rollback_model"),
        (3, "Production", "Archived", "rollback_model"),
        (2, "Archived", "Production", "rollback_model"),
    ]
    assert [each.at for each in history] == sorted((each.at for each in history), reverse=True)
    assert len(client.get_model(shop.work, shop.name, 3, False).history) == 3


@pytest.mark.parametrize(("moves", "back"), [([1, 2, 1], [2, 1]), ([1, 2, 3, 0, 3], [2, 1]), ([1, 2, 3, 0, 0, 3], [1])])
def test_the_way_back_is_a_stack(shop: Shop, moves: list[int], back: list[int]) -> None:
    """Zero is a way back."""
    shop.register("weak", "weaker", "strong")
    for number in moves:
        shop.move(number) if number else shop.back()
    assert [shop.back() for _ in back] == [shop.version(number) for number in back]


def test_what_others_put_into_production_gives_way_to_the_last_that_we_had_put_there(shop: Shop) -> None:
    shop.register("weak", "weaker", "strong")
    shop.move(2)
    mlflow = mlflow_client(shop.work)
    mlflow.transition_model_version_stage(shop.name, "2", "Archived")
    mlflow.transition_model_version_stage(shop.name, "3", "Production")
    assert shop.back() == shop.version(2)


def test_without_anything_in_production_there_is_no_way_back(shop: Shop) -> None:
    shop.register("weak")
    with pytest.raises(ToolFailure, match=f"no version of model:{shop.name} is in Production.*promote_model"):
        shop.back()


@pytest.mark.parametrize(
    ("moves", "undo"),
    [
        ([(1, "Staging")], "transition_stage(model='model:{0}/1', stage='None')"),
        ([(1, "Production")], "transition_stage(model='model:{0}/1', stage='None')"),
        ([(1, "Production"), (2, "Production")], "rollback_model(model='{0}')"),
        ([(1, "Production"), (1, "Production")], None),
    ],
)
def test_a_move_says_how_it_is_taken_back(shop: Shop, moves: list[tuple[int, Stage]], undo: str | None) -> None:
    shop.register("weak", "strong")
    found = [shop.move(number, stage) for number, stage in moves]
    assert found[-1].undo == (undo.format(shop.name) if undo else None)


def test_rounded_copies_of_the_training_rows_promote_nothing(shop: Shop) -> None:
    shop.register("weak")
    shop.move(1)
    found = shop.promote(shop.train("strong"), "rounded")
    assert not found.promoted
    assert "was trained on" in {gate.gate: gate.evidence for gate in found.gates}["comparison"]
