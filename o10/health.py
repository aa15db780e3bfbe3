"""Is this process alive, can it do its work, and what do the books say in numbers?

/healthz answers while the process does. /readyz names what is missing. /metrics is text for
Prometheus; its figures are read from the database, so that every process answers the same.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe
from kombu.exceptions import KombuError

from ledger import facade as ledger
from o10 import celery, telemetry
from o10.kernel import clock
from o10.kernel.errors import NotFound
from o10.problems import is_away
from o10.telemetry import Sample
from policies import facade as policies

MOST_SEAL_LAG_S = 5.0
"""Seconds an entry may wait for its position; the alarm of the ledger's design."""
MOST_SILENCE_OF_WORKER = timedelta(seconds=60)
"""The tail of the ledger is verified every two seconds by a job."""
MOST_BOOKING_LAG_S = 10.0
"""Seconds what a process answered may wait for the books, which look every second."""
JOBS_QUEUE = "celery"
MILLION = 1_000_000
_SHARES_OF = timedelta(hours=24)
_STRAYS_OF = timedelta(minutes=5)
_SETTLING = timedelta(seconds=10)
"""Decisions younger than this may still be uncommitted; the counter waits for them."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which part is it, is it ready, and if not, what is missing in one sentence?"""

    name: str
    ready: bool
    detail: str


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive. Touches nothing else, so that a slow database restarts no process."""
    return _json({"status": "ok"}, status=200)


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when every part is ready, else 503 with the parts that are not."""
    parts = list_parts(now=clock.now())
    missing = [f"{part.name}: {part.detail}" for part in parts if not part.ready]
    told = {
        "status": "not_ready" if missing else "ready",
        "missing": missing,
        "parts": {part.name: {"ready": part.ready, "detail": part.detail} for part in parts},
    }
    return _json(told, status=503 if missing else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text."""
    body = telemetry.exposition(list_samples(now=clock.now()))
    return HttpResponse(body, content_type="text/plain; version=0.0.4; charset=utf-8")


def list_parts(*, now: datetime) -> list[Part]:
    """Which parts must work, in the order in which one needs the other?

    Shape: database, migrations, ledger, sealer, worker, books; after the first that is away
    the rest is not asked.
    """
    parts: list[Part] = []
    checks: tuple[tuple[str, Callable[[datetime], str]], ...] = (
        ("database", _database),
        ("migrations", _migrations),
        ("ledger", _ledger),
        ("sealer", _sealer),
        ("worker", _worker),
        ("books", _books),
    )
    for name, check in checks:
        try:
            missing = check(now)
        except Exception as error:
            if not is_away(error):
                raise
            missing = "the database does not answer"
        parts.append(Part(name, not missing, missing or "ready"))
        if missing and name in {"database", "migrations", "ledger"}:
            break
    return parts


def list_samples(*, now: datetime) -> list[Sample]:
    """Which figures are there now? Shares are of the last 24 hours."""
    seal = ledger.seal_state(now=now)
    broken = ledger.seal_badge(now=now).state == "broken"
    currency = ledger.ledger_of_company().currency
    holds = policies.hold_figures(now=now)
    leases = policies.lease_figures(now=now)
    samples = [
        Sample(telemetry.SEAL_LAG, seal.lag_seconds),
        Sample(telemetry.UNSEALED, seal.waiting),
        Sample(telemetry.SEALED, seal.seq),
        Sample(telemetry.STRAYS, ledger.count_strays(since=now - _STRAYS_OF)),
        Sample(telemetry.LEDGER_INTACT, 0 if broken else 1),
        Sample(telemetry.HELD, holds.held_nanos, (currency,)),
        Sample(telemetry.HELD_OVERDUE, holds.overdue_nanos, (currency,)),
        Sample(telemetry.UNSETTLED, holds.unsettled_nanos, (currency,)),
        Sample(telemetry.LEASED, leases.leased_nanos, (currency,)),
        Sample(telemetry.STRANDED, leases.stranded_nanos, (currency,)),
        Sample(telemetry.HOLDERS, leases.holders),
        Sample(telemetry.BOOKING_LAG, leases.lag_seconds),
        Sample(telemetry.PUT_ASIDE, leases.put_aside),
        Sample(telemetry.BROKEN_INVARIANTS, len(policies.check_invariants())),
    ]
    samples += [
        Sample(telemetry.DECISIONS, count, (outcome, reason))
        for (outcome, reason), count in _decisions.up_to(now - _SETTLING).items()
    ]
    for metric, share in (
        (telemetry.PRICE_COVERAGE, _priced_share(now)),
        (telemetry.UNATTRIBUTED, _unattributed_share(now)),
    ):
        if share is not None:
            samples.append(Sample(metric, share))
    waiting = _jobs_waiting()
    if waiting is not None:
        samples.append(Sample(telemetry.QUEUE_DEPTH, waiting, (JOBS_QUEUE,)))
    return samples


class _DecisionCounter:
    """How many decisions were there ever, without counting the old ones again?

    Counts up to an instant and remembers it; the next scrape adds what came since.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counted_to: datetime | None = None
        self._lock = Lock()

    def up_to(self, at: datetime) -> Counter[tuple[str, str]]:
        """By decision and first reason, of everything decided before `at`."""
        with self._lock:
            if self._counted_to is None or at > self._counted_to:
                where = policies.DecisionLogFilter(decided_from=self._counted_to, decided_to=at)
                for each in policies.count_decisions(where=where):
                    self._counts[each.outcome, each.reason] += each.count
                self._counted_to = at
            return self._counts.copy()


def _priced_share(now: datetime) -> float | None:
    ppm = ledger.price_coverage(start=now - _SHARES_OF, end=now).priced_ppm
    return None if ppm is None else ppm / MILLION


def _unattributed_share(now: datetime) -> float | None:
    company = ledger.ledger_of_company()
    today = now.astimezone(ZoneInfo(company.time_zone)).date()
    rows = ledger.sum_spend(
        ledger_id=company.id,
        time_zone=company.time_zone,
        by=(ledger.SpendKey.USE_CASE,),
        start=today - timedelta(days=1),
        end=today + timedelta(days=1),
        as_of=ledger.seal_state(now=now).seq,
    )
    spent = sum(row.spent for row in rows)
    if spent <= 0:
        return None
    return sum(row.spent for row in rows if row.keys == (0,)) / spent


def _jobs_waiting() -> int | None:
    """None when the broker is away: that shows in /readyz, not as a wrong zero here."""
    broker = celery.app.connection_for_read(connect_timeout=1)
    away = (OSError, KombuError, *broker.connection_errors, *broker.channel_errors)
    try:
        with broker:
            channel = broker.default_channel
            declared = channel.queue_declare(queue=JOBS_QUEUE, passive=True)
            return int(declared.message_count)
    except away:
        return None


def _database(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations(now: datetime) -> str:
    executor = MigrationExecutor(connections["default"])
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not waiting:
        return ""
    names = ", ".join(f"{step.app_label}.{step.name}" for step, _ in waiting[:5])
    return f"{len(waiting)} not applied ({names}); run migrate"


def _ledger(now: datetime) -> str:
    try:
        ledger.ledger_of_company()
    except NotFound:
        return "no company yet; run found_company"
    return ""


def _sealer(now: datetime) -> str:
    lag = ledger.seal_state(now=now).lag_seconds
    if lag <= MOST_SEAL_LAG_S:
        return ""
    return (
        f"the oldest entry without a position has waited {lag:.1f} s; is ledger_seal running?"
    )


def _worker(now: datetime) -> str:
    newest = ledger.last_verification()
    if newest is not None and now - newest.finished_at <= MOST_SILENCE_OF_WORKER:
        return ""
    return "no job has run lately; are worker and beat running?"


def _books(now: datetime) -> str:
    """P1 to P8 on the live database, and is what was answered booked?"""
    broken = policies.check_invariants()
    if broken:
        first = broken[0]
        return (
            f"{first.rule} is broken: {first.where}, {first.column}: expected"
            f" {first.expected}, found {first.found}; run ledger_verify"
        )
    lag = policies.lease_figures(now=now).lag_seconds
    if lag > MOST_BOOKING_LAG_S:
        return f"what was answered {lag:.0f} s ago is not booked; is keep_books running?"
    return ""


def _json(told: object, *, status: int) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(told), status=status, content_type="application/json"
    )


_decisions = _DecisionCounter()

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
