"""The arithmetic of the benchmark; what it measures, no test can say."""

import os
import re
import time
from email.message import Message

import pytest

from bench.asking import Answer, Rows
from bench.endpoints import ENDPOINTS
from bench.equality import content_of
from bench.figures import paired_ratios, percentile, rotated, spread
from bench.growth import verdict
from bench.load import Load
from bench.measure import megabytes, processor_seconds, read_stat
from bench.picture import PARTS, draw
from bench.profiling import middle
from bench.report import Report, table
from bench.rounds import Sample
from bench.spans import Clock
from bench.systems import System


def test_ratios_pair_the_rounds() -> None:
    ratios = paired_ratios({1: 30.0, 2: 60.0, 3: 5.0}, {1: 10.0, 2: 20.0})

    assert ratios == [3.0, 3.0]


def test_spread_names_the_middle_and_the_ends() -> None:
    found = spread([3.0, 1.0, 2.0])

    assert (found.median, found.least, found.most) == (2.0, 1.0, 3.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_each_round_begins_with_another() -> None:
    assert [rotated("abc", by) for by in range(4)] == [
        list(w) for w in ("abc", "bca", "cab", "abc")
    ]


def test_requests_that_run_at_once_change_different_items() -> None:
    rows = Rows(items=100_000)

    paths = {rows.fill_in("/items/{item}", number) for number in range(500)}
    assert len(paths) == 500
    assert rows.fill_in("{item} {user} {n}", 7) == "1600 8 7"


def test_processor_time_is_read_past_any_name() -> None:
    stat = read_stat("7 (a) (b c)) S 3 7 7 0 -1 4194304 99 0 0 0 10 20 30 40 20 0 1 0 268795")

    assert (stat.pid, stat.parent, stat.ticks) == (7, 3, 100)


def test_processor_time_and_memory_are_those_of_a_process() -> None:
    before = processor_seconds(os.getpid())
    work(0.1)

    assert processor_seconds(os.getpid()) - before >= 0.05
    assert megabytes(os.getpid()) > 10


def test_content_is_compared_by_what_it_means() -> None:
    one = answer(b'[{"id": 1, "at": "2026-01-01T00:00:00.014Z"}]')
    other = answer(b'[{"at":"2026-01-01T00:00:00.014000+00:00","id":2}]')

    assert content_of(one, changing=frozenset({"id"})) == content_of(
        other, changing=frozenset({"id"})
    )
    assert content_of(one, changing=frozenset()) != content_of(other, changing=frozenset())


def answer(body: bytes) -> Answer:
    headers = Message()
    headers["Content-Type"] = "application/json"
    return Answer(200, headers, body)


def test_table_is_aligned() -> None:
    assert table(["", "ms"], [["a", "1"], ["long", "22"]]).splitlines() == [
        "|      | ms |",
        "| ---- | -: |",
        "| a    |  1 |",
        "| long | 22 |",
    ]


def test_report_compares_with_its_first_line() -> None:
    one, other = System("one", "One"), System("other", "The other")
    load = Load(requests=10, seconds=1, p50_ms=1, p99_ms=2, refused=0, broken=0)
    samples = [
        Sample(name, "me", number, load, app, 100)
        for name, costs in {"one": (100, 300), "other": (300, 500)}.items()
        for number, app in enumerate(costs)
    ]
    report = Report("Two", {"when": "now"}, [one, other], ENDPOINTS[:1], {}, samples)

    assert [report.ratios(system, ENDPOINTS[0]).median for system in (one, other)] == [1, 1.75]
    assert report.overview().splitlines()[-1] == "| The other | 1.75 |"


def test_verdict_names_what_grows() -> None:
    assert verdict({"me": 1.1, "page": 1.25, "item": 0.5}) == "Over 1.1: page (1.25)."
    assert verdict({"me": 1.0}) == "Over 1.1: none."


def test_clock_gives_each_moment_to_whoever_is_at_work() -> None:
    clock = Clock()
    clock.begin("outer")
    with clock.span("inner"):
        work(0.02)
    work(0.04)
    clock.end_request()

    ((_, spent),) = clock.requests
    assert spent["inner"] >= 20_000_000
    assert spent["outer"] >= 40_000_000
    assert clock.is_idle


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_pauses_are_left_out_of_a_profile() -> None:
    requests = [{"server": 1000}] * 7 + [{"server": 900_000, "rare": 1}]

    assert middle(requests) == {"server": 1.0}


def test_picture_names_every_part() -> None:
    picture = draw({"me": dict.fromkeys(PARTS, 20.0)})

    texts = re.findall(r">([^<]+)</text>", picture)
    assert {"me", "220 µs", *(text for text, _ in PARTS.values())} <= set(texts)
