"""Two ways of one thing, measured side by side: A B A B in one run, as a ratio.

Machines are noisy and differ, so a time alone says little. What is told is the median of ours over
the median of theirs, with the interval in which nine of ten bootstrap samples of the pairs lie.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import Callable, TypeVar

T = TypeVar("T")

# How many bootstrap samples are drawn.
SAMPLES = 2000


def timed(action: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def ratio(pairs: list[tuple[float, float]]) -> float:
    """The median of the first over the median of the second."""
    ours, theirs = zip(*pairs)
    return statistics.median(ours) / statistics.median(theirs)


def interval(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The 5th and 95th percentile of the ratio over samples of the pairs."""
    draw = random.Random(1)
    found = sorted(ratio(draw.choices(pairs, k=len(pairs))) for _ in range(SAMPLES))
    return found[SAMPLES // 20], found[SAMPLES - SAMPLES // 20]


def measure(
    ours: Callable[[], T], theirs: Callable[[], float], count: int
) -> list[tuple[T, float]]:
    """Seconds (of ours: all that it tells) of both, `count` times by turns, after one turn that warms up and is not counted."""
    pairs = []
    for turn in range(count + 1):
        pair = (ours(), theirs())
        if turn:
            pairs.append(pair)
        print("\r  {}/{} ".format(turn, count), end="", file=sys.stderr, flush=True)
    print("\r          \r", end="", file=sys.stderr, flush=True)
    return pairs


def tell(what: str, pairs: list[tuple[float, float]], aim: float, larger_is_better: bool = False) -> None:
    """One line: the ratio, its interval, both medians, and the aim."""
    found = ratio(pairs)
    low, high = interval(pairs)
    ours, theirs = (statistics.median(side) * 1000 for side in zip(*pairs))
    met = found >= aim if larger_is_better else found <= aim
    print(
        "{}: {:.2f} [{:.2f}, {:.2f}] (ours {:.0f} ms, theirs {:.0f} ms, {} pairs); "
        "aim: at {} {:.2f}, {}".format(
            what,
            found,
            low,
            high,
            ours,
            theirs,
            len(pairs),
            "least" if larger_is_better else "most",
            aim,
            "met" if met else "NOT MET",
        ),
        flush=True,
    )


def tell_figure(what: str, figure: float, unit: str, most: float) -> None:
    """One line: a figure that has no other side."""
    met = "met" if figure <= most else "NOT MET"
    print("{}: {:.1f} {}; aim: at most {:g}, {}".format(what, figure, unit, most, met), flush=True)
