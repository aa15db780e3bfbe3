"""What does one round of load say of a server? Rate, waits, and whose processor it cost."""

import itertools
import statistics
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from o10.management.benches import server as servers
from o10.management.benches.drive import Request, Script, drive, over_and_over, percentile
from o10.management.benches.server import BOOKS, Server, Site

MakeScripts = Callable[["array[int]"], Sequence[Script]]
"""Gets the array that the waits go to, in ns."""
_ids = itertools.count()
RETRIES = 60
BLOCK = 10**7
"""Each connection of each round has numbers of its own; nobody asks that often."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round. Units: answers/s; microseconds, of processor time per answer where it says so.

    `books_us`, `database_us` and `booked_rate` include what was booked after the last answer.
    """

    rate: float
    booked_rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    books_us: float
    database_us: float
    driver_us: float
    asked_again: int
    """503 or a broken connection; the wait goes on until the answer."""


def in_process(*, p50_us: float) -> Sample:
    """A side without a server: only its p50 is known."""
    return Sample(0.0, 0.0, p50_us, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


def first_number() -> int:
    """Where do the numbers of the next connection begin?"""
    return next(_ids) * BLOCK


def asks(request: Request, *, good: bytes, connections: int) -> MakeScripts:
    """Scripts that ask this over and over, each with numbers of its own."""
    return lambda waits: [
        over_and_over(request, first=first_number(), waits=waits, good=good)
        for _ in range(connections)
    ]


def measure(site: Site, server: Server, make: MakeScripts, *, seconds: float) -> Sample:
    """What does this server answer to these scripts, one connection each?

    Begins with everything booked, and ends so.
    """
    servers.drain()
    waits = array("q")
    scripts = make(waits)
    sockets = servers.even_sockets(server, len(scripts))
    before = _costs(site, server)
    driven = drive(
        port=server.port, sockets=sockets, seconds=seconds, scripts=scripts, retries=RETRIES
    )
    own = server.cpu_s()
    drained = servers.drain()
    after = _costs(site, server)
    share = 1e6 / driven.answers
    return Sample(
        rate=len(waits) / driven.seconds,
        booked_rate=len(waits) / (driven.seconds + drained),
        p50_us=percentile(waits, 0.50),
        p99_us=percentile(waits, 0.99),
        cpu_us=(own - before[0]) * share,
        books_us=(after[1] - before[1]) * share,
        database_us=(after[2] - before[2]) * share,
        driver_us=driven.cpu_s * share,
        asked_again=driven.broken,
    )


def _costs(site: Site, server: Server) -> tuple[float, float, float]:
    books = site[BOOKS].cpu_s() if BOOKS in site else 0.0
    return server.cpu_s(), books, servers.database_cpu_s()


def take_turns(
    sides: Mapping[str, Callable[[], Sample]], *, rounds: int
) -> dict[str, list[Sample]]:
    """What does each side say, turn by turn, after one warm-up each?

    The order moves on by one each round, so that no side always follows the same one.
    """
    names = list(sides)
    for name in names:
        sides[name]()
    said: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        at = number % len(names)
        for name in [*names[at:], *names[:at]]:
            said[name].append(sides[name]())
    return said


def column(samples: Sequence[Sample], field: str) -> list[float]:
    """One figure of each round."""
    return [getattr(sample, field) for sample in samples]


def middle(samples: Sequence[Sample], field: str) -> float:
    """The median of one figure, rounded for reading."""
    return round(statistics.median(column(samples, field)), 1)
