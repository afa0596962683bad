"""What reaches Opik when it does not behave: everything, once, and in the form that it describes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from ..waiting import until
from .conftest import FAST, IMPATIENT, Site
from .recorder import Recorder


@dataclass(frozen=True)
class Trouble:
    """A behaviour, and after how many requests it ends."""

    behaviour: str
    headers: Callable[[], Mapping[str, str]] = field(default=dict)
    requests: int = 2


TROUBLES = {
    "500": Trouble("500"),
    "503": Trouble("503"),
    "503 with Retry-After": Trouble("503", lambda: {"Retry-After": "1"}),
    "429 without headers": Trouble("429"),
    "429 with Retry-After": Trouble("429", lambda: {"Retry-After": "1"}),
    "429 with a date": Trouble("429", lambda: {"Retry-After": formatdate(time.time() + 1.5, usegmt=True)}),
    "429 with RateLimit-Reset": Trouble("429", lambda: {"RateLimit-Reset": "1"}),
    "401": Trouble("401"),
    "403": Trouble("403"),
    "404": Trouble("404"),
    "connection reset": Trouble("reset"),
    "no answer": Trouble("hang"),
    "a web page": Trouble("html"),
}


def report(name: str, site: Site, opik: Recorder, seconds: float) -> None:
    """One line of the table of figures (`pytest -s`)."""
    got = len(opik.rows("traces").keys() & site.made.traces) + len(opik.rows("spans").keys() & site.made.spans)
    print(f"| {name} | {got}/{site.made.rows} | {site.made.rows - got} | {opik.duplicates} | {seconds:.1f} |")


def assert_all_there_once(site: Site, opik: Recorder, repeated: int = 0) -> None:
    assert set(opik.rows("traces")) == site.made.traces
    assert set(opik.rows("spans")) == site.made.spans
    assert len(opik.rows("traces_scores")) == len(site.made.traces)
    assert opik.duplicates <= repeated
    assert site.status.parked == 0


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_after_trouble_everything_is_there_once(
    site: Site, opik: Recorder, trouble: Trouble, request: pytest.FixtureRequest
) -> None:
    site.calls(50)
    opik.become(trouble.behaviour, trouble.headers())
    with site.shipping(timing=IMPATIENT if trouble.behaviour == "hang" else FAST):
        until(lambda: len(opik.requests) >= trouble.requests)
        assert site.status.delivered == 0
        assert opik.rows("traces") == {}
        opik.become("ok")
        began = time.monotonic()
        until(site.delivered)
        report(request.node.callspec.id, site, opik, time.monotonic() - began)
    assert_all_there_once(site, opik)
    assert site.status.failure


@pytest.mark.slow
def test_a_server_that_is_down_gets_everything_when_it_is_back(site: Site, opik: Recorder) -> None:
    opik.stop()
    site.calls(50)
    with site.shipping():
        until(lambda: site.status.failure)
        site.calls(50)
        opik.start()
        began = time.monotonic()
        until(site.delivered)
        report("down", site, opik, time.monotonic() - began)
    assert_all_there_once(site, opik)


@pytest.mark.slow
def test_a_server_that_goes_away_in_the_middle_gets_the_rest_later(site: Site, opik: Recorder) -> None:
    site.calls(400)
    with site.shipping():
        until(lambda: opik.rows("spans"))
        opik.stop()
        until(lambda: site.status.failure)
        assert site.status.waiting > 0
        opik.start()
        began = time.monotonic()
        until(site.delivered)
        report("killed in the middle", site, opik, time.monotonic() - began)
    # Of the batch that was in flight nobody can know whether it arrived: the same rows go again under the same ids.
    assert_all_there_once(site, opik, repeated=200)


def test_one_bad_row_is_parked_and_all_others_are_delivered(site: Site, opik: Recorder) -> None:
    opik.refuses = lambda row: "poison" if "poison" in row["name"] else ""
    site.calls(60)
    bad = site.calls(1, "poison")
    with site.shipping():
        until(site.delivered)
    report("400 for one row", site, opik, 0.0)
    assert set(opik.rows("traces")) == site.made.traces - bad.traces
    assert len(site.made.spans - set(opik.rows("spans"))) == 1
    assert opik.duplicates == 0
    assert site.status.parked == 2
    assert len(opik.requests) < 60


def test_a_row_at_which_opik_crashes_is_parked_and_holds_nothing_up(site: Site, opik: Recorder) -> None:
    opik.crashes = lambda row: "crash" if "poison" in row["name"] else ""
    bad = site.calls(1, "poison")
    site.calls(60)
    with site.shipping():
        until(site.delivered)
    report("500 for one row", site, opik, 0.0)
    assert set(opik.rows("traces")) == site.made.traces - bad.traces
    assert len(site.made.spans - set(opik.rows("spans"))) == 1
    assert (opik.duplicates, site.status.parked) == (0, 2)


def test_nothing_is_parked_while_opik_crashes_at_everything(site: Site, opik: Recorder) -> None:
    site.calls(20)
    opik.become("500")
    with site.shipping():
        until(lambda: len(opik.requests) > 20)
        assert site.status.parked == 0
        opik.become("ok")
        until(site.delivered)
    assert_all_there_once(site, opik)


def test_the_server_decides_how_long_to_wait(site: Site, opik: Recorder) -> None:
    site.calls(1)
    opik.become("429", {"Retry-After": "1"})
    with site.shipping():
        until(lambda: opik.requests)
        opik.become("ok")
        until(site.delivered)
    first, second = opik.requests[:2]
    assert second.at - first.at >= 1
