"""What does a person ask of prices by a form, and how is a refusal told?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from o10.kernel.errors import FieldError, O10Error, ValidationFailed
from o10.kernel.money import Nanos
from policies import facade
from policies.web.price_bodies import instant, price_nanos, share_ppm
from policies.web.shown_envelope_change import Problem

LONGEST: Final = 500
METERS: Final = (
    ("input", "Input"),
    ("cache_read", "Cache read"),
    ("cache_write_5m", "Cache write, 5 min"),
    ("cache_write_1h", "Cache write, 1 h"),
    ("output", "Output"),
    ("reasoning", "Reasoning"),
)
"""Meters the form asks for; the API takes all of them."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in a form, as it was typed?"""

    values: Mapping[str, str] = field(default_factory=dict)
    key: str = ""

    def get(self, name: str, default: str = "") -> str:
        """What was typed here?"""
        return self.values.get(name, default)


def typed_of(post: Mapping[str, str], *, longest: int = LONGEST) -> Typed:
    """What was typed, each value cut to what a field may hold?"""
    values = {name: value[:longest].strip() for name, value in post.items()}
    return Typed(values, post.get("key", "")[:64])


def price_of(typed: Typed) -> facade.PriceDraft:
    """Which contract or override does the form ask for?

    Raises: ValidationFailed (`validation_failed`) naming the field.
    """
    meters: dict[str, list[tuple[int, Nanos]]] = {}
    for name, _ in METERS:
        text = typed.get(f"meter_{name}")
        if text:
            meters[name] = [(0, price_nanos(text, f"/meter_{name}"))]
    free = tuple(name for name, brackets in meters.items() if brackets[0][1] == 0)
    discount = typed.get("discount")
    return facade.PriceDraft(
        venue=typed.get("venue").lower(),
        model=typed.get("model").lower(),
        region=typed.get("region").lower() or "global",
        tier=typed.get("tier") or "standard",
        source=typed.get("source") or "contract",
        currency=typed.get("currency").upper(),
        meters=meters,
        discount_ppm=share_ppm(discount, "/discount") // 100 if discount else None,
        valid_from=day_of(typed, "valid_from"),
        valid_to=day_of(typed, "valid_to") if typed.get("valid_to") else None,
        evidence=typed.get("evidence"),
        free=free if typed.get("free") else (),
    )


def commitment_of(typed: Typed, *, currency: str) -> facade.CommitmentDraft:
    """Which terms does the form ask for?

    Raises: ValidationFailed (`validation_failed`) naming the field.
    """
    kind, _, slug = typed.get("owner").partition(":")
    return facade.CommitmentDraft(
        name=typed.get("name"),
        venue=typed.get("venue").lower(),
        model=typed.get("model").lower(),
        region=typed.get("region").lower() or "global",
        units=number_of(typed, "units"),
        hourly_rate_nanos=price_nanos(typed.get("hourly_rate"), "/hourly_rate"),
        currency=typed.get("currency").upper() or currency,
        unit_tokens=number_of(typed, "unit_tokens"),
        term=typed.get("term"),
        start_at=day_of(typed, "start"),
        end_at=day_of(typed, "end"),
        notice_date=date_of(typed, "notice_date"),
        owner_kind=kind or "company",
        owner_slug=slug or "company",
        beyond=typed.get("beyond") or "on_demand",
        evidence=typed.get("evidence"),
    )


def rates_of(typed: Typed) -> list[facade.FxRate]:
    """Which rates does the form give: pasted rows, or the one that was typed?

    Raises: ValidationFailed (`validation_failed`) naming the row or field.
    """
    source = typed.get("source")
    if typed.get("rows"):
        return facade.read_fx_csv(typed.get("rows"), source=source)
    return [
        facade.FxRate(
            currency=typed.get("currency").upper(),
            rate=typed.get("rate"),
            rate_date=date_of(typed, "date"),
            source=source,
            evidence=typed.get("evidence"),
        )
    ]


def day_of(typed: Typed, name: str) -> datetime:
    """Which instant does this day begin with, in UTC?

    Raises: ValidationFailed (`validation_failed`) naming the field.
    """
    return instant(typed.get(name), f"/{name}")


def date_of(typed: Typed, name: str) -> date:
    """Which day was typed?

    Raises: ValidationFailed (`validation_failed`) naming the field.
    """
    return day_of(typed, name).date()


def number_of(typed: Typed, name: str) -> int:
    """Which whole number was typed? Commas may stand in it.

    Raises: ValidationFailed (`validation_failed`) naming the field.
    """
    text = typed.get(name).replace(",", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        message = f"{name.replace('_', ' ').capitalize()} is a whole number."
        raise ValidationFailed(errors=[FieldError(f"/{name}", "malformed", message)])
    return int(text)


def problem_of(failure: O10Error) -> Problem:
    """How is this refusal told? What happened, what was not done, what to do."""
    if failure.errors:
        return Problem(
            "Nothing was asked for.",
            " ".join(dict.fromkeys(error.message for error in failure.errors[:5])),
            tuple(error.pointer.strip("/").replace("/", "_") for error in failure.errors),
            status=422,
        )
    texts = {
        "unit_mismatch": "There is no dated rate for this currency yet: enter it under FX "
        "rates first.",
        "idempotency_mismatch": "This form was already sent with another content. The first "
        "one holds; start again from this page.",
        "conflict": "Somebody decided this before. Load the page again to see what holds.",
        "not_found": "What the form names is not there (any more).",
        "validation_failed": "A price of 0 is free only on purpose: say that it is free by "
        "policy.",
    }
    text = texts.get(failure.code, f"The present state does not allow this ({failure.code}).")
    return Problem("Nothing was asked for.", text, status=422)
