"""Rules in their plain form over plain columns, evaluated by DuckDB instead of the library, which crawls.

What is found equals what Great Expectations finds in the same rows, values and order included; `test_plans.py` holds
one against the other. Where that is not sure (another type of column, whole numbers that a double rounds, a pattern
that RE2 reads otherwise) there is no plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from .broken import REPEATED, of_rows, unique
from .examples import COUNTED
from .forms import form_of
from .measures import MEASURES
from .models import Expectation
from .plan import Found, Plan
from .subject import Subject


def planned(subject: Subject, rules: Mapping[int, Expectation], complete: bool) -> dict[int, Found]:
    """What those rules found that have a plan, all asked in one pass over their columns.

    Args:
        complete: whether every row that breaks a rule is named, not only the first ones.
    """
    plans = {place: plan for place, rule in rules.items() if (plan := _plan(subject, rule, complete))}
    answers = iter(subject.scan.one([expression for plan in plans.values() for expression in plan.asked]))
    found = {place: plan.concluded(*[next(answers) for _ in plan.asked]) for place, plan in plans.items()}
    return {place: each for place, each in found.items() if each is not None}


def _plan(subject: Subject, rule: Expectation, complete: bool) -> Plan | None:
    if form_of(rule) is None:
        return None
    if rule.type in MEASURES:
        return MEASURES[rule.type](subject, rule)
    return (unique if rule.type in REPEATED else of_rows)(subject, rule, None if complete else COUNTED)
