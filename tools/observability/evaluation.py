"""Opik's metrics that need neither a model nor a network, applied to what an agent has answered.

Source: https://www.comet.com/docs/opik/evaluation/metrics/heuristic_metrics
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from ..errors import ToolFailure, require, unknown
from .models import Case

# Metric -> the options it takes; the last two look at a conversation, all others at an output.
OFFLINE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Equals": ("case_sensitive",),
        "Contains": ("case_sensitive", "reference"),
        "LevenshteinRatio": ("case_sensitive",),
        "RegexMatch": ("regex",),
        "IsJson": (),
        "PromptInjection": (),
        "Tone": ("min_sentiment", "max_upper_ratio", "max_exclamations"),
        "SpearmanRanking": (),
        "JSDistance": ("normalize",),
        "JSDivergence": ("normalize",),
        "KLDivergence": ("normalize", "direction"),
        "ConversationDegenerationMetric": ("ngram_size",),
        "KnowledgeRetentionMetric": ("turns_to_consider",),
    }
)
# Of these, less is better.
FAULTS = ("PromptInjection", "JSDistance", "KLDivergence", "ConversationDegenerationMetric")
CONVERSATIONAL = ("ConversationDegenerationMetric", "KnowledgeRetentionMetric")
WITH_REFERENCE = ("Equals", "LevenshteinRatio", "SpearmanRanking", "JSDistance", "JSDivergence", "KLDivergence")
NEEDS_PACKAGE: Mapping[str, str] = MappingProxyType(
    {
        "SentenceBLEU": "nltk", "CorpusBLEU": "nltk", "ChrF": "nltk", "GLEU": "nltk", "METEOR": "nltk",
        "Sentiment": "nltk", "VADERSentiment": "nltk", "ROUGE": "rouge-score", "Readability": "textstat",
        "BERTScore": "bert-score", "LanguageAdherenceMetric": "fasttext",
    }
)  # fmt: skip
NEEDS_MODEL = (
    "AnswerRelevance", "ContextPrecision", "ContextRecall", "GEval", "Hallucination", "Moderation", "Usefulness",
    "StructuredOutputCompliance", "SycEval", "TrajectoryAccuracy", "AgentTaskCompletionJudge",
    "AgentToolCorrectnessJudge", "ConversationalCoherenceMetric", "SessionCompletenessQuality", "UserFrustrationMetric",
    "LLMJuriesJudge", "QARelevanceJudge", "SummarizationCoherenceJudge", "SummarizationConsistencyJudge",
    "ComplianceRiskJudge", "DialogueHelpfulnessJudge", "PromptUncertaintyJudge",
)  # fmt: skip
QUIET = MappingProxyType(
    {"OPIK_SENTRY_ENABLE": "false", "OPIK_ANALYTICS_ENABLE": "false", "OPIK_TRACK_DISABLE": "true"}
)


class Verdict(BaseModel):
    """One metric of one case, by its label; `value` is None when it could not be computed, for the `reason` given."""

    metric: str
    value: float | None
    reason: str = ""


class Chosen(BaseModel):
    """A metric and its options, e.g. `RegexMatch` with `regex`; the second of its kind has another `label`."""

    metric: str
    label: str
    options: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


def chosen(metrics: Sequence[str | Mapping[str, JsonValue]]) -> list[Chosen]:
    """The metrics that were asked for.

    Raises:
        ToolFailure: none, an unknown one, an unknown option, or one that needs a model or a package.
    """
    if not metrics:
        raise ToolFailure("no metric was named", f"Choose among {', '.join(OFFLINE)}.")
    found = [_chosen(metric) for metric in metrics]
    for number, each in enumerate(found):
        if before := sum(other.metric == each.metric for other in found[:number]):
            each.label = f"{each.metric} {before + 1}"
    return found


def _chosen(metric: str | Mapping[str, JsonValue]) -> Chosen:
    options = {} if isinstance(metric, str) else {name: value for name, value in metric.items() if name != "metric"}
    name = metric if isinstance(metric, str) else str(metric.get("metric", ""))
    if name in NEEDS_MODEL:
        raise ToolFailure(f"{name} needs a language model", f"These need none: {', '.join(OFFLINE)}.")
    if name in NEEDS_PACKAGE:
        needed = NEEDS_PACKAGE[name]
        raise ToolFailure(f"{name} needs the package {needed}", f"These need none: {', '.join(OFFLINE)}.")
    if name not in OFFLINE:
        raise unknown("metric", name, OFFLINE, "Others need a language model.", limit=len(OFFLINE))
    for option in options:
        if option not in OFFLINE[name]:
            raise unknown(f"option of {name}", option, OFFLINE[name])
    if name == "RegexMatch":
        _check_regex(options.get("regex"))
    return Chosen(metric=name, label=name, options=options)


def _check_regex(regex: JsonValue) -> None:
    try:
        re.compile(regex if isinstance(regex, str) and regex else "(")
    except re.error as error:
        raise ToolFailure(
            f"RegexMatch cannot use {regex!r}: {error}", 'Pass {"metric": "RegexMatch", "regex": "…"}.'
        ) from None


def evaluate(cases: Sequence[Case], metrics: Sequence[Chosen]) -> list[list[Verdict]]:
    """Every metric of every case, in their order; nothing is sent or logged anywhere.

    Raises:
        NotInstalled: Opik is missing.
        ToolFailure: an option that a metric cannot use.
    """
    require("opik")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from opik.evaluation import metrics as library

    scorers: list[tuple[Chosen, Any]] = []
    for each in metrics:
        try:
            scorers.append((each, getattr(library, each.metric)(track=False, **each.options)))
        except (TypeError, ValueError) as error:
            message = f"{each.metric} cannot use these options: {error}"
            raise ToolFailure(message, "Leave `options` out to use its defaults.") from error
    return [[_verdict(metric, scorer, case) for metric, scorer in scorers] for case in cases]


def _verdict(metric: Chosen, scorer: Any, case: Case) -> Verdict:
    name, label = metric.metric, metric.label
    if missing := _missing(name, scorer, case):
        return Verdict(metric=label, value=None, reason=missing)
    from opik.evaluation.metrics import MetricComputationError

    try:
        result = scorer.score(**_arguments(name, case))
    except (MetricComputationError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        return Verdict(metric=label, value=None, reason=f"{type(error).__name__}: {error}"[:200])
    value = float(result.value)
    if getattr(result, "scoring_failed", False) or not math.isfinite(value):
        return Verdict(metric=label, value=None, reason=str(result.reason or "no score")[:200])
    return Verdict(metric=label, value=value, reason=str(result.reason or "")[:200])


def _missing(name: str, scorer: Any, case: Case) -> str:
    if name in CONVERSATIONAL:
        return "" if case.conversation else "the case has no conversation"
    if case.output is None:
        return "the case has no output"
    wants = name in WITH_REFERENCE or (name == "Contains" and getattr(scorer, "_reference", None) is None)
    return "the case has no expected value" if wants and case.expected is None else ""


def _arguments(name: str, case: Case) -> dict[str, Any]:
    if name in CONVERSATIONAL:
        return {"conversation": case.conversation}
    if name == "SpearmanRanking":
        return {"output": case.output, "reference": case.expected}
    reference = {} if case.expected is None else {"reference": _text(case.expected)}
    return {"output": _text(case.output), **reference}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
