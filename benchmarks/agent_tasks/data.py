"""Data for the questions, drawn by a seed; each function says what is true in it."""

from __future__ import annotations

import numpy as np
import pandas as pd


def _logistic(score: np.ndarray) -> np.ndarray:
    chance: np.ndarray = 1 / (1 + np.exp(-score))
    return chance


def curved(seed: int, rows: int = 1500) -> pd.DataFrame:
    """Classes that a straight line does not part: boosting is better than logistic regression by far."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 5))
    score = 2 * x[:, 0] * x[:, 1] + x[:, 2]
    return pd.DataFrame(x, columns=[f"x{n}" for n in range(5)]).assign(y=(draw.random(rows) < _logistic(score)) * 1)


def leaky(seed: int, rows: int = 1200) -> pd.DataFrame:
    """`closed_code` follows from the label; without it the AUC is about .75. A tenth of the rows stands twice."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 4))
    label = (draw.random(rows) < _logistic(1.2 * x[:, 0])) * 1
    frame = pd.DataFrame(x, columns=["age", "tenure", "visits", "spend"])
    frame["closed_code"] = label * 7 + draw.integers(0, 3, rows)
    frame["churned"] = label
    return pd.concat([frame, frame.sample(frac=0.1, random_state=seed)], ignore_index=True)


# Rows that break each rule of `orders`: of the ids that are no longer unique, one is that of the first row.
BROKEN = [12, 9, 8, 15, 5]


def orders(seed: int, rows: int = 2000) -> pd.DataFrame:
    """Five rules are broken: 12 amounts below 0, 9 missing customers, 7 ids twice, 15 states, 5 late deliveries."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "order_id": np.arange(rows) + 5000,
            "customer": [f"c{number}" for number in draw.integers(1, 300, rows)],
            "amount": draw.gamma(2, 30, rows).round(2),
            "state": draw.choice(["paid", "open", "sent"], rows),
            "ordered": pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.integers(0, 200, rows), "D"),
        }
    )
    frame["delivered"] = frame.ordered + pd.to_timedelta(draw.integers(1, 20, rows), "D")
    picked = iter(np.split(draw.permutation(rows)[:48], [12, 21, 28, 43]))
    frame.loc[next(picked), "amount"] = -1.0
    frame.loc[next(picked), "customer"] = None
    frame.loc[next(picked), "order_id"] = 5000
    frame.loc[next(picked), "state"] = "payed"
    late = next(picked)
    frame.loc[late, "delivered"] = frame.loc[late, "ordered"] - pd.Timedelta(1, "D")
    return frame


def campaign(seed: int, rows: int = 6000) -> pd.DataFrame:
    """A coin decides who gets the mail; it lifts the purchases of newcomers by .12 and of nobody else."""
    draw = np.random.default_rng(seed)
    segment = draw.choice(["newcomer", "regular", "lapsed"], rows)
    mailed = draw.integers(0, 2, rows)
    chance = 0.10 + 0.05 * (segment == "regular") + 0.12 * mailed * (segment == "newcomer")
    return pd.DataFrame(
        {
            "mailed": mailed,
            "segment": segment,
            "age": draw.integers(18, 80, rows),
            "visits": draw.poisson(3, rows),
            "bought": (draw.random(rows) < chance) * 1,
        }
    )


def schools(seed: int, count: int = 60, pupils: int = 25) -> pd.DataFrame:
    """Pupils of good schools are tutored more often and score higher anyway; tutoring adds 4 points."""
    draw = np.random.default_rng(seed)
    school = np.repeat(np.arange(count), pupils)
    quality, own = draw.normal(size=count)[school], draw.normal(size=count * pupils)
    tutored = (draw.random(count * pupils) < _logistic(0.8 * quality - 0.4 * own)) * 1
    score = 50 + 4 * tutored + 5 * quality + 3 * own + draw.normal(0, 4, count * pupils)
    return pd.DataFrame(
        {"school": school, "quality": quality, "ability": own, "tutored": tutored, "score": score.round(2)}
    )


def noise(seed: int, rows: int = 400) -> pd.DataFrame:
    """The label is a coin flip."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 8)), columns=[f"f{n}" for n in range(8)])
    return frame.assign(label=draw.integers(0, 2, rows))


def visits(seed: int, rows: int = 800) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Visits of patients, and their laboratory values at earlier and later times."""
    draw = np.random.default_rng(seed)
    start = pd.Timestamp("2026-01-01", tz="UTC")
    asked = pd.DataFrame(
        {"patient": draw.integers(0, 200, rows), "seen_at": start + pd.to_timedelta(draw.integers(100, 400, rows), "D")}
    )
    tests = pd.DataFrame(
        {
            "patient": draw.integers(0, 220, 1500),
            "measured_at": start + pd.to_timedelta(draw.integers(0, 400, 1500), "D"),
            "marker": draw.normal(5, 1, 1500).round(3),
        }
    )
    return asked, tests.drop_duplicates(["patient", "measured_at"])


def known_at_visit(asked: pd.DataFrame, tests: pd.DataFrame, days: int) -> pd.Series:
    """The newest value of each visit's patient, at most so many days old, by pandas."""
    left, right = asked.sort_values("seen_at"), tests.sort_values("measured_at")
    joined = pd.merge_asof(
        left, right, left_on="seen_at", right_on="measured_at", by="patient", tolerance=pd.Timedelta(days, "D")
    )
    return joined["marker"]


def month(seed: int, shifted: bool, rows: int = 2000) -> pd.DataFrame:
    """In the shifted month `height` is in metres instead of centimetres, `app` is new, and `income` has holes."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.integers(18, 90, rows),
            "height": draw.normal(172, 9, rows).round(1),
            "income": draw.lognormal(10, 0.4, rows).round(0),
            "channel": draw.choice(["web", "shop", "phone"], rows),
            "score": draw.normal(size=rows),
        }
    )
    if shifted:
        frame["height"] /= 100
        frame.loc[draw.random(rows) < 0.2, "income"] = None
        frame.loc[draw.random(rows) < 0.15, "channel"] = "app"
    return frame
