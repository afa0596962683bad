"""Pictures stay below their size whatever they show, say it in numbers too, and read no name as markup."""

from __future__ import annotations

import csv
import io
import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain import kept
from mlops_mcp.tools.explain.models import Kind
from mlops_mcp.tools.pictures import SMALL, WHOLE, described, drawn, label, shown, table, whole
from mlops_mcp.tools.runtime.work import Work

FORMULA = r"cost $\frac{x"
ROWS, COLUMNS = 30, 60
# Points take long to draw.
DRAWN: dict[Kind, int] = {"bar": kept.MOST_COLUMNS, "beeswarm": 12}
LONG = "列名 naïve column of a very long name, " * 5


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, COLUMNS)) * np.linspace(3, 1, COLUMNS)


@pytest.fixture
def wide(work: Work, values: np.ndarray) -> str:
    """An explanation of more columns than are drawn, of which the largest is called as a formula that is none."""
    names = [FORMULA, "a\nb", *(f"{LONG}{place}" for place in range(COLUMNS - 2))]
    folder = kept.explanations(work) / "wide"
    folder.mkdir(parents=True)
    np.save(folder / "values.npy", values)
    pd.DataFrame(np.zeros(values.shape), columns=names).to_parquet(folder / "features.parquet")
    (folder / "explanation.json").write_text(json.dumps({"unit": f"log-odds of {FORMULA}"}))
    return "explanation:wide"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_wide_explanation_is_drawn_small_with_its_numbers_in_the_answer_and_in_the_file(
    work: Work, wide: str, values: np.ndarray, kind: Kind
) -> None:
    plotted, picture = kept.plot_explanation(work, wide, kind, DRAWN[kind])
    in_full = kept.explanation_picture(work, "wide", kind, DRAWN[kind])
    assert len(picture.data) <= SMALL <= 40_000
    assert SMALL / 4 < len(in_full) <= WHOLE
    assert Image.open(io.BytesIO(picture.data)).mode == "P"
    assert imread(io.BytesIO(picture.data)).std() > 0.01
    assert len(plotted.model_dump_json()) / 4 <= 1500
    assert len(plotted.columns) + plotted.omitted == COLUMNS
    assert plotted.picture == f"picture://explanations/wide/{kind}/{DRAWN[kind]}"
    largest = np.argsort(-np.abs(values).mean(axis=0), kind="stable")
    assert plotted.columns[0].mean_abs == pytest.approx(np.abs(values[:, largest[0]]).mean())
    first = pd.Series(values[:, largest[0]])
    quantiles = (plotted.columns[0].low, plotted.columns[0].median, plotted.columns[0].high)
    expected = tuple(first.quantile([0.05, 0.5, 0.95])) if kind == "beeswarm" else (None, None, None)
    assert quantiles == pytest.approx(expected)
    told = list(csv.DictReader(io.StringIO(described(in_full))))
    assert len(told) == DRAWN[kind]
    assert float(told[0]["mean_abs"]) == pytest.approx(plotted.columns[0].mean_abs, rel=1e-5)


@pytest.mark.parametrize("name", [FORMULA, "$", "a$b$c", "\\", "_^{", "a\nb\0", "\u202eright to left", "列" * 500, ""])
def test_a_name_is_drawn_as_it_is_in_one_line(name: str) -> None:
    def draw(figure: Figure) -> None:
        figure.add_subplot().set_title(label(name))

    assert "\n" not in label(name)
    assert len(label(name)) <= 30
    assert drawn(draw, "").data.startswith(b"\x89PNG")


def test_names_that_differ_only_at_their_end_are_told_apart() -> None:
    assert len({label(LONG + str(place)) for place in range(100)}) == 100


def test_a_formula_that_is_one_is_not_drawn_as_one() -> None:
    def titled(title: str) -> bytes:
        def draw(figure: Figure) -> None:
            figure.text(0.1, 0.5, title)

        return drawn(draw, "").data

    assert titled("$x^2$") != titled("x²")
    assert imread(io.BytesIO(titled("$x^2$"))).shape[1] > imread(io.BytesIO(titled("x²"))).shape[1]


def noise(form: str, side: int = 400) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(written, form)
    return written.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
def test_an_image_from_elsewhere_is_made_small_and_is_whole_in_its_resource(form: str) -> None:
    found, in_full = shown(noise(form)), whole(noise(form))
    assert (found.kind, len(found.data) <= SMALL, len(in_full) <= WHOLE) == ("png", True, True)
    assert in_full.startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(in_full)).width > Image.open(io.BytesIO(found.data)).width


@pytest.mark.parametrize(("form", "kind"), [("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "gif"), ("TIFF", "png")])
def test_a_small_image_is_shown_as_it_is_unless_no_host_knows_its_format(form: str, kind: str) -> None:
    small = noise(form, 16)
    found = shown(small)
    assert (found.kind, found.data == small) == (kind, form == kind.upper())


def test_what_is_see_through_stands_on_white() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (2000, 2000), (0, 0, 0, 0)).save(written, "TIFF")
    assert imread(io.BytesIO(shown(written.getvalue()).data))[..., :3].min() == 1


def bomb() -> bytes:
    """A PNG of few bytes that claims to have many pixels."""
    written = io.BytesIO()
    Image.new("1", (8000, 8000)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "no image"), (b"\x89PNG", "no image"), (noise("PNG", 60)[:4000], "cannot be shown"), (bomb(), "pixels")],
)
def test_what_is_no_image_that_can_be_shown_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        shown(data)


def test_numbers_that_would_fill_a_picture_are_left_out_of_its_file() -> None:
    def draw(figure: Figure) -> None:
        figure.add_subplot().plot([1, 2, 1])

    few, many = ("".join(map(chr, np.random.default_rng(0).integers(33, 127, n))) for n in (1000, SMALL))
    assert described(drawn(draw, few).data) == few
    found = drawn(draw, many).data
    assert (described(found), len(found) <= SMALL) == ("", True)
    assert Image.open(io.BytesIO(found)).size == Image.open(io.BytesIO(drawn(draw, few).data)).size


def test_the_numbers_of_a_picture_are_a_table_that_is_read_back() -> None:
    rows = [("a,b", 1.23456789, 3), ('"', float("nan"), None)]
    told = pd.read_csv(io.StringIO(table(("name", "value", "n"), rows)))
    assert told["name"].tolist() == ["a,b", '"']
    assert told["value"].tolist()[0] == 1.23457
