"""What does o10 look like in use? A company with a year of spend, made from one seed."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from rich.progress import track

from ledger import facade as ledger
from o10.access import operations as access
from o10.access import queries as people
from o10.access.keys import Caller, authenticate, caller_of_person
from o10.access.models import Person
from o10.access.roles import Role
from o10.kernel import clock
from o10.kernel.money import NANOS_PER_UNIT, Money
from o10.management import demo_company as company
from o10.management import demo_drivers as drivers
from o10.management import demo_outcomes as outcomes
from o10.management import installation
from o10.management.commands.found_company import found_ledger
from o10.management.demo_alerts import tell_alerts
from o10.management.demo_approvals import ask_for_changes, lay_down_policy
from o10.management.demo_invoices import close_months, send_bills
from o10.management.demo_kill import write_rules
from o10.management.demo_prices import tell_prices
from o10.management.demo_sealing import seal_history
from o10.wire import facts, requests
from policies import facade as policies
from reports import facade as reports

SLICES_A_DAY = {"small": 1, "medium": 24, "large": 1_900}
"""Usage records per supply and day: 4 thousand, 100 thousand, 10 million entries."""
BATCH = 5_000
LIVE_CALLS = 48
KEY_LIFETIME = timedelta(days=365)


class Command(BaseCommand):
    """Makes the demo company in an installation without a company."""

    help = "Make the seeded demo company: same seed and last day, same numbers."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--scale", choices=sorted(SLICES_A_DAY), default="small")
        parser.add_argument("--until", type=date.fromisoformat, default=None, metavar="DATE")
        parser.add_argument("--seed", type=int, default=company.SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        """People, structure and budgets, a year of usage, plans, then a few live calls.

        Each step keeps what an interrupted run has made before; the printed key comes last.
        """
        now = clock.now()
        found_ledger(say=self.stdout.write)
        standing = policies.find_organisation()
        if standing is not None and not standing.demo:
            raise CommandError("there is a company already; the demo wants an empty ledger")
        if installation.find_secret(installation.DEMO_KEY):
            raise CommandError("the demo company is complete already")
        until = options["until"] or now.date()
        if standing is None:
            policies.found_organisation(
                name=company.NAME,
                slug=company.SLUG,
                demo=True,
                actor=access.COMMAND_LINE,
                now=now,
            )
        lay_down_policy(now=now)
        callers = _hire(now)
        self.stdout.write("departments, use cases and envelopes")
        _structure(callers, until=until, now=now)
        secret, router = _router(now)
        count = self._record(router, options, until)
        _plan(callers[Role.FINOPS], until=until, now=now)
        _live_calls(router)
        self.stdout.write("bills of the providers")
        closing: dict[str, Any] = {
            "finops": callers[Role.FINOPS],
            "controller": callers[Role.CONTROLLER],
            "since": company.first_day(until),
            "until": until,
        }
        send_bills(**closing, seed=options["seed"])
        self.stdout.write("outcomes and what costs beside inference")
        _outcomes(callers, router, until=until, seed=options["seed"])
        self.stdout.write("rules that stop what fails")
        write_rules(
            maker=callers[Role.FINOPS],
            checker=callers[Role.CONTROLLER],
            router=router,
            now=clock.now(),
        )
        self.stdout.write("changes that wait for a second person")
        ask_for_changes(
            owner=callers[Role.OWNER],
            finops=callers[Role.FINOPS],
            controller=callers[Role.CONTROLLER],
            cfo=callers[Role.CFO],
            now=clock.now(),
        )
        self.stdout.write("contract prices, committed capacity, a refresh that waits")
        tell_prices(
            finops=callers[Role.FINOPS],
            controller=callers[Role.CONTROLLER],
            router=router,
            until=until,
            seed=options["seed"],
            now=clock.now(),
        )
        self.stdout.write("alerts, and a change that nobody signed")
        tell_alerts(
            router=router,
            maker=callers[Role.FINOPS],
            checker=callers[Role.CONTROLLER],
            model=company.USE_CASES[0].supplies[0].model,
            now=clock.now(),
        )
        self.stdout.write("months that are closed")
        close_months(**closing, say=self.stdout.write)
        installation.write_secret(installation.DEMO_KEY, secret)
        self.stdout.write(f"{count} usage records, {LIVE_CALLS} live calls")

    def _record(self, router: Caller, options: dict[str, Any], until: date) -> int:
        slices = SLICES_A_DAY[options["scale"]]
        rows = company.history(until=until, slices_a_day=slices, seed=options["seed"])
        total = sum(len(case.supplies) for case in company.USE_CASES) * slices
        total *= (until - company.first_day(until)).days
        count = 0
        batches = track(
            _batched(rows),
            total=-(-total // BATCH),
            description="a year of usage",
            transient=True,
        )
        for batch in batches:
            ledger.record_usage(
                records=[_usage_record(row) for row in batch], caller=router, now=clock.now()
            )
            count += len(batch)
        return count


def _batched(rows: Iterator[company.DayOfCalls]) -> Iterator[list[company.DayOfCalls]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _usage_record(row: company.DayOfCalls) -> facts.UsageRecord:
    return msgspec.convert(
        {
            "id": row.key,
            "source": "demo",
            "at": row.at,
            "use_case": row.use_case,
            "model": row.model,
            "calls": row.calls,
            "usage": {
                "input_tokens": row.input_tokens,
                "cached_input_tokens": row.cached_input_tokens,
                "output_tokens": row.output_tokens,
                "reasoning_tokens": row.reasoning_tokens,
            },
        },
        facts.UsageRecord,
    )


def _hire(now: datetime) -> dict[Role, Caller]:
    password = installation.kept_secret(installation.DEMO_PASSWORD)
    callers: dict[Role, Caller] = {}
    hired = {person.email: person for person in people.list_people()}
    for row in company.PEOPLE:
        person = hired.get(row.email) or access.create_person(
            email=row.email,
            display_name=row.name,
            role=row.role,
            password=password,
            actor=access.COMMAND_LINE,
            now=now,
        )
        callers.setdefault(row.role, caller_of_person(person))
    return callers


def _structure(callers: dict[Role, Caller], *, until: date, now: datetime) -> None:
    maker = callers[Role.FINOPS]
    for slug, name, _ in company.DEPARTMENTS:
        policies.create_department(slug=slug, name=name, actor=maker, now=now)
    owners = {person.email: person for person in people.list_people()}
    for case in company.USE_CASES:
        policies.create_use_case(
            draft=_use_case(case, owners), actor=maker, now=now, key=f"demo/{case.slug}"
        )
    # Budgets hold for the whole history: a period begins where usage begins.
    begins = datetime.combine(company.first_day(until), datetime.min.time(), tzinfo=UTC)
    budgets = [("company", company.SLUG, company.COMPANY_CAP, None)]
    budgets += [("department", slug, cap, None) for slug, _, cap in company.DEPARTMENTS]
    budgets += [("use_case", case.slug, case.cap, case.per_call) for case in company.USE_CASES]
    for kind, slug, cap, per_call in budgets:
        policies.create_envelope(
            draft=policies.EnvelopeDraft(
                scope_kind=kind,
                scope_slug=slug,
                period_kind="month",
                start_at=begins,
                amount_nanos=cap * NANOS_PER_UNIT,
                per_call_nanos=Money.parse(per_call, "USD").nanos if per_call else None,
                reason="budget of the demo company",
            ),
            actor=callers[Role.CONTROLLER],
            now=now,
            key=f"demo/{kind}/{slug}",
        )


def _use_case(case: company.DemoUseCase, owners: dict[str, Person]) -> policies.UseCaseDraft:
    return policies.UseCaseDraft(
        slug=case.slug,
        name=case.name,
        department=case.department,
        owner=owners[case.owner].id,
        floor_class=case.floor_class,
        default_model=case.supplies[0].model,
    )


def _router(now: datetime) -> tuple[str, Caller]:
    made = access.create_key(
        name="demo router",
        role=Role.ROUTER,
        use_cases=None,
        expires_at=now + KEY_LIFETIME,
        actor=access.COMMAND_LINE,
        now=now,
    )
    return made.secret.text, authenticate(header=f"Bearer {made.secret.text}", now=now)


def _plan(maker: Caller, *, until: date, now: datetime) -> None:
    months = []
    month = company.first_day(until)
    while month <= date(until.year, 12, 1):
        months.append(month)
        month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    reports.set_plan(
        lines=[
            reports.PlanDraft(
                use_case=case.slug,
                month=month,
                amount_nanos=company.planned(case, month=month, until=until) * NANOS_PER_UNIT,
            )
            for case in company.USE_CASES
            for month in months
        ],
        actor=maker,
        now=now,
    )


def _live_calls(router: Caller) -> None:
    """Real calls through the spend verbs: allowed, capped, denied for each common reason."""
    for number in range(LIVE_CALLS):
        case = company.USE_CASES[number % len(company.USE_CASES)]
        asked: dict[str, Any] = {
            "request_id": f"demo-{number}",
            "use_case": case.slug,
            "model": case.supplies[number % len(case.supplies)].model,
            "input_tokens": case.input_tokens + 37 * number,
            "max_output_tokens": case.output_tokens * 2,
        }
        asked |= _twist(number)
        answer = msgspec.json.decode(
            policies.authorize(
                request=msgspec.convert(asked, requests.Authorize),
                caller=router,
                now=clock.now(),
            )
        )
        if not answer.get("reservation"):
            continue
        reservation = {"reservation": answer["reservation"]["id"]}
        if number % 12 == 11:
            # Cancelled before it was sent: nothing is billed.
            policies.release(
                request=msgspec.convert(reservation, requests.Release),
                caller=router,
                now=clock.now(),
            )
            continue
        used = {
            "usage": {
                "input_tokens": asked["input_tokens"],
                "output_tokens": case.output_tokens + number,
            },
            "latency_ms": 420 + 31 * number,
        }
        policies.settle(
            request=msgspec.convert(reservation | used, requests.Settle),
            caller=router,
            now=clock.now(),
        )


def _outcomes(callers: dict[Role, Caller], router: Caller, *, until: date, seed: int) -> None:
    """Results, their values, shared costs; counted and booked, so that pages have them."""
    maker, checker = callers[Role.FINOPS], callers[Role.CONTROLLER]
    now = clock.now()
    drafts = list(outcomes.told(until=until, seed=seed))
    for first in range(0, len(drafts), BATCH):
        reports.record_outcomes(drafts=drafts[first : first + BATCH], actor=router, now=now)
    outcomes.state_costs(finance=maker, until=until, now=now)
    told = outcomes.months(until)
    drivers.tell_volumes(finance=maker, months=told, until=until, now=now, seed=seed)
    drivers.state_rig(finance=maker, months=told, now=now)
    outcomes.approve_rules(maker=maker, checker=checker, until=until, now=now)
    outcomes.ask_value(maker=maker, now=now, until=until)
    seal_history(now=now)
    reports.count_costs(now=now, batches=1_000_000)
    outcomes.book_ended_months(maker=maker, checker=checker, until=until, now=now)
    seal_history(now=clock.now())
    reports.count_costs(now=clock.now(), batches=1_000_000)
    reports.assess_units(now=clock.now())


TWISTS: Sequence[dict[str, Any]] = (
    {"model": "openai/gpt-unpriced"},
    {"use_case": "no-such-use-case"},
    {"max_output_tokens": None},
    {"use_case": "agent-collections", "max_output_tokens": 120_000},
)
"""Unknown price, unknown use case, no output bound, above the per-call limit."""


def _twist(number: int) -> dict[str, Any]:
    return dict(TWISTS[number // 5 % len(TWISTS)]) if number % 5 == 4 else {}
