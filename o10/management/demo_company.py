"""Who is the demo company? Departments, people, use cases, budgets and a year of volume.

Everything is drawn from one seed: the same seed and the same last day give the same numbers.
Amounts are whole currency units; shares are per mille; token counts are per call.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from o10.access.roles import Role

SEED = 20261124
NAME = "Northwind Bank"
SLUG = "northwind"
MONTHS = 13
LAUNCH_GROWTH = 0.065
"""Volume grows by this share a month, before noise."""


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Who can sign in, as what?"""

    email: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Supply:
    """Which model serves which share of the calls (per mille) from which day on?"""

    model: str
    share: int


@dataclass(frozen=True, slots=True)
class DemoUseCase:
    """What is one use case, how large are its calls, what may it spend a month?"""

    slug: str
    name: str
    department: str
    owner: str
    floor_class: str
    supplies: tuple[Supply, ...]
    calls_a_day: int
    input_tokens: int
    cached_share: int
    output_tokens: int
    reasoning_share: int
    cap: int
    plan: int
    per_call: str | None = None
    weekend_share: int = 350


DEPARTMENTS = (
    ("cx", "Customer experience", 104_000),
    ("engineering", "Engineering", 42_000),
    ("legal", "Legal and risk", 76_000),
    ("growth", "Growth", 24_000),
)
COMPANY_CAP = 250_000

PEOPLE = (
    DemoPerson("cfo@northwind.example", "Clara Weiss", Role.CFO),
    DemoPerson("controller@northwind.example", "Tomas Novak", Role.CONTROLLER),
    DemoPerson("finops@northwind.example", "Lena Sato", Role.FINOPS),
    DemoPerson("owner.cx@northwind.example", "Miriam Okafor", Role.OWNER),
    DemoPerson("owner.eng@northwind.example", "Ravi Patel", Role.OWNER),
    DemoPerson("auditor@northwind.example", "Jonas Lind", Role.AUDITOR),
    DemoPerson("viewer@northwind.example", "Ada Board", Role.VIEWER),
    DemoPerson("admin@northwind.example", "Sam Ortiz", Role.ADMIN),
)

USE_CASES = (
    DemoUseCase(
        "support-assistant",
        "Support assistant",
        "cx",
        "owner.cx@northwind.example",
        "balanced",
        (Supply("openai/gpt-5.4-mini", 700), Supply("openai/gpt-5.4", 300)),
        760_000,
        1_400,
        420,
        290,
        120,
        66_000,
        54_000,
    ),
    DemoUseCase(
        "agent-collections",
        "Agent · collections",
        "cx",
        "owner.cx@northwind.example",
        "strict",
        (Supply("anthropic/claude-sonnet-5", 1000),),
        61_000,
        5_200,
        550,
        410,
        0,
        14_000,
        9_500,
        "0.50",
    ),
    DemoUseCase(
        "call-summaries",
        "Call summaries",
        "cx",
        "owner.cx@northwind.example",
        "balanced",
        (Supply("google/gemini-3.5-flash-lite", 1000),),
        520_000,
        2_600,
        0,
        240,
        0,
        22_000,
        18_000,
    ),
    DemoUseCase(
        "code-completion",
        "Code completion",
        "engineering",
        "owner.eng@northwind.example",
        "strict",
        (Supply("anthropic/claude-sonnet-5", 600), Supply("mistral/codestral-2508", 400)),
        430_000,
        2_900,
        610,
        190,
        0,
        36_000,
        28_000,
    ),
    DemoUseCase(
        "sandbox",
        "Sandbox",
        "engineering",
        "owner.eng@northwind.example",
        "lean",
        (Supply("openai/gpt-5.4-nano", 1000),),
        48_000,
        1_100,
        0,
        420,
        300,
        1_500,
        1_000,
    ),
    DemoUseCase(
        "policy-search",
        "RAG · policy search",
        "legal",
        "owner.eng@northwind.example",
        "balanced",
        (Supply("openai/gpt-5.4-mini", 1000),),
        490_000,
        5_100,
        300,
        260,
        0,
        56_000,
        47_000,
    ),
    DemoUseCase(
        "kyc-extraction",
        "KYC document extract",
        "legal",
        "owner.eng@northwind.example",
        "strict",
        (Supply("google/gemini-3.5-flash", 1000),),
        36_000,
        6_400,
        0,
        540,
        0,
        15_000,
        12_000,
    ),
    DemoUseCase(
        "marketing-drafts",
        "Marketing drafts",
        "growth",
        "owner.cx@northwind.example",
        "lean",
        (Supply("openai/gpt-5.4", 1000),),
        17_500,
        1_900,
        0,
        980,
        0,
        10_000,
        7_500,
    ),
    DemoUseCase(
        "meeting-summaries",
        "Meeting summaries",
        "growth",
        "owner.cx@northwind.example",
        "lean",
        (Supply("groq/llama-3.3-70b-versatile", 1000),),
        105_000,
        5_800,
        0,
        380,
        0,
        12_000,
        9_500,
    ),
)


@dataclass(frozen=True, slots=True)
class DayOfCalls:
    """How many calls of one supply happened in one slice of a day, with which totals?"""

    key: str
    at: datetime
    use_case: str
    model: str
    calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int


def first_day(until: date) -> date:
    """Where does the history begin? First of the month twelve months before `until`."""
    month = until.year * 12 + until.month - MONTHS
    return date(month // 12, month % 12 + 1, 1)


def history(*, until: date, slices_a_day: int, seed: int = SEED) -> Iterator[DayOfCalls]:
    """What was used from the first day to the day before `until`, and today so far?

    Order: by day, then use case, supply and slice. Each slice draws from a generator of its
    own, so that a longer history does not change a shorter one.
    """
    day = first_day(until)
    while day < until:
        for case in USE_CASES:
            for supply in case.supplies:
                for number in range(slices_a_day):
                    yield _slice(day, case, supply, number, slices_a_day, seed, until)
        day += timedelta(days=1)


def _slice(
    day: date,
    case: DemoUseCase,
    supply: Supply,
    number: int,
    slices: int,
    seed: int,
    until: date,
) -> DayOfCalls:
    key = f"{day.isoformat()}/{case.slug}/{supply.model}/{number}of{slices}"
    draw = random.Random(f"{seed}/{key}")  # noqa: S311 - a demo, reproducible on purpose
    months_ago = (until - day).days / 30.4
    growth = (1 + LAUNCH_GROWTH) ** -months_ago
    week = case.weekend_share / 1000 if day.weekday() >= 5 else 1.0
    hour_of_day = 24 * (number + 0.5) / slices
    curve = 1.0 if slices == 1 else 1 + 0.6 * math.sin((hour_of_day - 8) / 24 * 2 * math.pi)
    noise = draw.lognormvariate(0, 0.07)
    calls = max(
        1,
        round(case.calls_a_day * supply.share / 1000 * growth * week * curve * noise / slices),
    )
    inputs = round(calls * case.input_tokens * draw.lognormvariate(0, 0.03))
    outputs = round(calls * case.output_tokens * draw.lognormvariate(0, 0.04))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return DayOfCalls(
        key=key,
        at=start + timedelta(seconds=86_400 * (number + draw.random()) / slices),
        use_case=case.slug,
        model=supply.model,
        calls=calls,
        input_tokens=inputs,
        cached_input_tokens=inputs * case.cached_share // 1000,
        output_tokens=outputs,
        reasoning_tokens=outputs * case.reasoning_share // 1000,
    )


def planned(case: DemoUseCase, *, month: date, until: date) -> int:
    """What was planned for this month? Whole currency units; plans were made at launch."""
    months_ahead = (month.year - until.year) * 12 + month.month - until.month
    return round(case.plan * (1 + 0.055) ** months_ahead / 100) * 100
