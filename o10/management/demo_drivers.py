"""What causes the demo company's calls, and which machine of its own does it pay for?

Whole months are told as one number, the running one by the day, as a business system does. One
rig reads pages for two use cases: its hours are shared out by the pages each sent, and what was
planned and not used stays with its owner. Same seed and last day, same numbers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from o10.access.keys import Caller
from o10.kernel.money import NANOS_PER_UNIT
from o10.management import demo_company as company
from reports import facade as reports

SOURCE = "daily export"
CENT = NANOS_PER_UNIT // 100
RIG_HOURS = 730
RULES: tuple[tuple[str, str, dict[str, object], str], ...] = (
    ("hardware", "by_driver", {"driver": "pages_read"}, "the rig reads pages and nothing else"),
    (
        "hardware_waste",
        "fixed",
        {"weights": {"kyc-extraction": "1"}},
        "who asked for the rig carries what nobody uses",
    ),
)


@dataclass(frozen=True, slots=True)
class DemoDriver:
    """Which volume causes the calls of a use case, and how many a working day?"""

    use_case: str
    name: str
    a_day: int


DRIVERS = (
    DemoDriver("support-assistant", "tickets_opened", 10_400),
    DemoDriver("kyc-extraction", "documents_received", 1_300),
    DemoDriver("kyc-extraction", "pages_read", 7_800),
    DemoDriver("policy-search", "pages_read", 3_900),
    DemoDriver("code-completion", "changes_merged", 640),
)


def tell_volumes(
    *, finance: Caller, months: tuple[date, ...], until: date, now: datetime, seed: int
) -> None:
    """Tells each driver of each month, up to the day before `until`."""
    drafts = list(_volumes(months, until, seed))
    reports.record_drivers(drafts=drafts, actor=finance, now=now)


def state_rig(*, finance: Caller, months: tuple[date, ...], now: datetime) -> None:
    """States the rig of each whole month, and of the running one as far as it is planned."""
    for number, month in enumerate(months):
        reports.state_hardware(
            month=month,
            use_case="",
            machines=[_rig(used_hours=286 + 14 * number)],
            source="asset register, hour meter",
            actor=finance,
            now=now,
            key="demo",
        )


def _volumes(months: tuple[date, ...], until: date, seed: int) -> Iterator[reports.VolumeDraft]:
    for case in DRIVERS:
        for month in months:
            days = list(_days(month, until))
            volumes = [_volume(case, day, until, seed) for day in days]
            if reports.next_month(month) <= until:
                yield _draft(case, f"{month:%Y-%m}", sum(volumes))
                continue
            for day, volume in zip(days, volumes, strict=True):
                yield _draft(case, str(day), volume)


def _days(month: date, until: date) -> Iterator[date]:
    day = month
    while day < min(until, reports.next_month(month)):
        yield day
        day += timedelta(days=1)


def _volume(case: DemoDriver, day: date, until: date, seed: int) -> int:
    draw = random.Random(f"{seed}/{day}/{case.use_case}/{case.name}")  # noqa: S311 - a demo
    growth = (1 + company.LAUNCH_GROWTH) ** (-(until - day).days / 30.4)
    week = 0.35 if day.weekday() >= 5 else 1.0
    return max(1, round(case.a_day * growth * week * draw.lognormvariate(0, 0.05)))


def _draft(case: DemoDriver, period: str, volume: int) -> reports.VolumeDraft:
    return reports.VolumeDraft(
        use_case=case.use_case, driver=case.name, period=period, volume=volume, source=SOURCE
    )


def _rig(*, used_hours: int) -> reports.Machine:
    return reports.Machine(
        name="ocr-rig",
        purchase=60_000 * NANOS_PER_UNIT,
        residual=6_000 * NANOS_PER_UNIT,
        life_hours=26_000,
        planned_ppm=600_000,
        power=90 * CENT,
        hosting=60 * CENT,
        staff=50 * CENT,
        hours=RIG_HOURS,
        used_hours=used_hours,
    )
