from dataclasses import replace

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.observability.decisions import record_decision
from mlops_mcp.tools.registry.evidence import explain_promotion
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.tracking.backend import mlflow_client

from .shop import Shop

pytestmark = pytest.mark.slow


def test_a_version_says_why_it_is_in_production_and_who_said_so(shop: Shop) -> None:
    shop.promote(shop.train("poor"))
    ann = replace(shop, work=replace(shop.work, by=Identity("ann", "admin")))
    found = ann.promote(shop.copy("strong"))
    about = (shop.version(2), found.run or "")
    for number, handle in enumerate((*about, "run:" + "f" * 32)):
        record_decision(shop.work, f"decision {number}", "it is better", [handle], [], "model_deployer")
    why = explain_promotion(shop.work, f"model:{shop.name}")
    assert (why.model, why.stage, why.by, why.who) == (shop.version(2), "Production", "promote_model", "ann")
    assert (why.replaced, why.run, why.report, why.notes) == (shop.version(1), found.run, found.report, [])
    assert why.judged is not None
    assert (why.judged.verdict, why.judged.gates, why.judged.comparison) == ("passed", found.gates, found.comparison)
    assert (why.judged.who, why.judged.against, why.judged.dataset) == ("ann", shop.version(1), shop.data["test"])
    assert [each.decided for each in why.decisions] == ["decision 1", "decision 0"]
    assert "promotion_judged" not in shop.tags(2)


def test_decisions_that_newer_ones_push_out_are_counted_with_where_they_are(shop: Shop) -> None:
    # A run of its own: what is decided about one that tests share would be shown to all of them.
    found = shop.promote(shop.copy("strong"))
    run = found.run or ""
    record_decision(shop.work, "do not ship it", "it leaks", [run], [], "feature_analyzer")
    for number in range(4):
        record_decision(shop.work, f"ship it {number}", "it is fine", [shop.version(1), run], [], "model_deployer")
    assert explain_promotion(shop.work, shop.version(1)).notes == []
    record_decision(shop.work, "ship it 4", "it is fine", [shop.version(1)], [], "model_deployer")
    why = explain_promotion(shop.work, shop.version(1))
    assert "do not ship it" not in [each.decided for each in why.decisions]
    assert why.notes == [
        f"only the 5 newest of 6 decisions are shown: list_decisions has 5 about {shop.version(1)}, 5 about {run}"
    ]


def test_what_was_put_into_production_in_spite_of_its_gates_says_so(shop: Shop) -> None:
    shop.promote(shop.train("strong"))
    shop.promote(shop.train("weaker"))
    shop.move(2)
    why = explain_promotion(shop.work, shop.version(2))
    assert why.judged is not None
    assert (why.judged.verdict, why.by) == ("failed", "transition_stage")
    assert why.notes == [
        "transition_stage put it there, which asks for no gate",
        "promote_model said failed when it judged it last",
    ]


def test_a_judgement_of_an_older_version_of_this_server_is_read_from_its_tags(shop: Shop) -> None:
    found = shop.promote(shop.train("strong"))
    registry = mlflow_client(shop.work)
    registry.delete_model_version_tag(shop.name, "1", "promotion_judged")
    why = explain_promotion(shop.work, shop.version(1))
    assert why.judged is not None
    assert (why.judged.verdict, why.judged.gates, why.judged.dataset) == ("passed", found.gates, shop.data["test"])
    registry.set_model_version_tag(shop.name, "1", "promotion_judged", "{}")
    assert explain_promotion(shop.work, shop.version(1)).notes == ["promote_model has never judged it"]


def test_a_version_that_nobody_moved_or_others_moved_says_so(shop: Shop) -> None:
    shop.register("good")
    assert explain_promotion(shop.work, shop.version(1)).notes == ["nobody has put it into a stage"]
    mlflow_client(shop.work).transition_model_version_stage(shop.name, "1", "Production")
    assert explain_promotion(shop.work, shop.name).notes == [
        "it was put into Production by something else than the tools of this server",
        "promote_model has never judged it",
    ]
    with pytest.raises(ToolFailure, match="unknown version"):
        explain_promotion(shop.work, shop.version(7))
