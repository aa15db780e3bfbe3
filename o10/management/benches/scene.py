"""Which company do the benches of the decision plane call? Ledger, prices, envelopes, a key."""

from dataclasses import dataclass

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel import clock
from policies import facade as policies

FRONTIER = "openai/gpt-5.4"
NANOS = 10**9
DEPARTMENT = "bench"
WIDE = 10**9 * NANOS
"""A billion: no bench spends that much."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who asks, and who decides?"""

    key: str
    finops: Caller


def found_company() -> Scene:
    """A company with prices and a router's key, and no envelope yet."""
    now = clock.now()
    if ledger.find_ledger(ledger.COMPANY_LEDGER) is None:
        ledger.create_ledger(
            origin="bench.o10.example", currency="USD", time_zone="UTC", now=now
        )
    ledger.load_first_prices(now=now)
    if policies.find_organisation() is None:
        policies.found_organisation(
            name="Bench", slug="bench", demo=False, actor=access.COMMAND_LINE, now=now
        )
    made = access.create_key(
        name="router of the bench",
        role=Role.ROUTER,
        use_cases=None,
        actor=access.COMMAND_LINE,
        now=now,
    )
    return Scene(key=made.secret.text, finops=_caller(Role.FINOPS))


def found_scene() -> Scene:
    """The same with a wide envelope for the company and for a department."""
    scene = found_company()
    open_department(scene, DEPARTMENT, nanos=4 * WIDE, company=4 * WIDE)
    return scene


def open_department(
    scene: Scene, slug: str, *, nanos: int, company: int | None = None
) -> policies.EnvelopeView:
    """A department with an envelope; with `company` below one of that size, made with it."""
    policies.create_department(slug=slug, name=slug, actor=scene.finops, now=clock.now())
    if company is not None:
        open_envelope(scene, kind="company", slug="", nanos=company)
    return open_envelope(scene, kind="department", slug=slug, nanos=nanos)


def open_use_case(
    scene: Scene, slug: str, *, nanos: int = WIDE, department: str = DEPARTMENT
) -> policies.EnvelopeView:
    """A use case in `enforce` with an envelope of this size below those above it."""
    policies.create_use_case(
        draft=policies.UseCaseDraft(slug=slug, name=slug, department=department),
        actor=scene.finops,
        now=clock.now(),
    )
    return open_envelope(scene, kind="use_case", slug=slug, nanos=nanos)


def open_envelope(
    scene: Scene, *, kind: str, slug: str, nanos: int, parent: str = ""
) -> policies.EnvelopeView:
    """One envelope of this month without thresholds, so that every yes has the same reason."""
    return policies.create_envelope(
        draft=policies.EnvelopeDraft(
            scope_kind=kind,
            scope_slug=slug,
            parent=parent,
            amount_nanos=nanos,
            soft_thresholds_ppm=(),
            allow_overallocation=True,
        ),
        actor=scene.finops,
        now=clock.now(),
    )


def _caller(role: Role) -> Caller:
    name = f"bench-{role.value}"
    return Caller(name, name, name, role, None, ROLE_ACTIONS[role])
