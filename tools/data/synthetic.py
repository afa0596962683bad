"""Made-up pharma data: health-care professionals, the calls on them, and a treatment whose effect is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Kind = Literal["e2i_classification", "e2i_regression"]

BRANDS = ("Remibrutinib", "Fabhalta", "Kisqali")
REGIONS = ("Midwest", "Northeast", "South", "West")
SPECIALTIES = ("Dermatology", "Hematology", "Nephrology", "Oncology")
SPECIALTY_LIFT = (0.0, 0.5, -0.5, 1.0)
ROWS_PER_HCP = 10
FIRST_DAY = "2024-01-01"
# The same for every row, so that any correct estimator has to find it, whatever it averages over.
TRUE_EFFECT = 2.0


@dataclass(frozen=True)
class Traits:
    """What a row knows of its professional, and what of it drives both the treatment and the outcome."""

    hcp: np.ndarray
    specialty: np.ndarray
    years: np.ndarray
    volume: np.ndarray
    calls: np.ndarray
    drive: np.ndarray


def generate(kind: Kind, rows: int, seed: int) -> tuple[pa.Table, list[str]]:
    """The rows, the same ones for the same arguments, and what is true of them."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(seed)
    traits = _traits(random, rows)
    treatment = (random.random(rows) < _probability(0.9 * traits.drive - 0.4)).astype(np.int64)
    outcome = 10 + TRUE_EFFECT * treatment + 3 * traits.drive + random.normal(0, 1.5, rows)
    columns = {
        "hcp_id": [f"hcp_{number:06d}" for number in traits.hcp],
        "brand": np.asarray(BRANDS)[random.integers(0, len(BRANDS), rows)],
        **_dates(random, rows),
        "call_frequency": traits.calls,
        "region": np.asarray(REGIONS)[random.integers(0, len(REGIONS), rows)],
        "specialty": np.asarray(SPECIALTIES)[traits.specialty],
        "years_in_practice": traits.years,
        "patient_volume": traits.volume,
        "treatment": treatment,
        "outcome": np.round(outcome, 4),
        "target": _target(random, kind, traits),
    }
    naive = float(outcome[treatment == 1].mean() - outcome[treatment == 0].mean())
    return pa.table(columns), _notes(kind, seed, naive)


def _traits(random: np.random.Generator, rows: int) -> Traits:
    import numpy as np

    professionals = -(-rows // ROWS_PER_HCP)
    hcp = np.arange(rows) // ROWS_PER_HCP
    specialty = random.integers(0, len(SPECIALTIES), professionals)[hcp]
    years = random.integers(1, 41, professionals)[hcp]
    volume = np.round(random.gamma(4, 25, professionals), 1)[hcp]
    drive = np.asarray(SPECIALTY_LIFT)[specialty] + (volume - 100) / 60 + (years - 20) / 25
    calls = np.clip(np.round(random.normal(30, 15, rows) + 8 * drive), 0, 100).astype(np.int64)
    return Traits(hcp, specialty, years, volume, calls, drive)


def _dates(random: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """One observation of a professional every 30 days; all calls lie before it."""
    import numpy as np

    observed = np.datetime64(FIRST_DAY, "us") + (np.arange(rows) % ROWS_PER_HCP * 30).astype("timedelta64[D]")
    since_first = random.integers(30, 361, rows)
    since_last = np.floor(since_first * random.random(rows)).astype(np.int64)
    return {
        "observation_date": observed,
        "first_call_date": observed - since_first.astype("timedelta64[D]"),
        "last_call_date": observed - since_last.astype("timedelta64[D]"),
    }


def _target(random: np.random.Generator, kind: Kind, traits: Traits) -> np.ndarray:
    import numpy as np

    rows = len(traits.hcp)
    score = 0.05 * (traits.calls - 30) + 0.6 * traits.drive
    if kind == "e2i_regression":
        return np.round(20 + 5 * score + random.normal(0, 3, rows), 4)
    return (random.random(rows) < _probability(score - 0.6)).astype(np.int64)


def _probability(score: np.ndarray) -> np.ndarray:
    import numpy as np

    return 1 / (1 + np.exp(-score))


def _notes(kind: Kind, seed: int, naive: float) -> list[str]:
    return [
        f"synthetic: made by generate_dataset(kind={kind!r}, seed={seed}), no real person, brand sales or trial",
        f"true effect of treatment on outcome: {TRUE_EFFECT:g} in every row; the naive difference is {naive:.2f}, "
        "confounded by specialty, years_in_practice and patient_volume",
        "target depends on call_frequency and those three; region and brand depend on nothing",
    ]
