"""Which sentence does a page start with?

It is built from the same values as the page's figures and table, so it cannot contradict them:
over, under, on plan, no plan, no spend. Names are data; whoever prints them escapes them.
Source: docs/algorithms/plan.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from o10.kernel.figures import money, percent
from o10.kernel.money import Nanos
from reports.core.plan import Stance, Variance, contributions, sum_variances

_WORDS = (
    "No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten",
    "Eleven", "Twelve",
)  # fmt: skip
_MOST_NAMES = 3


class Progress(StrEnum):
    """Does the period still run?"""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Headline:
    """What is the result, its size and its cause? Two sentences of plain text."""

    title: str
    detail: str
    stance: Stance


@dataclass(frozen=True, slots=True)
class Part:
    """What did one use case spend against its plan so far?"""

    name: str
    variance: Variance


def headline(
    *, period: str, progress: Progress, currency: str, parts: Sequence[Part]
) -> Headline:
    """Which sentence opens the overview of this period?

    Shape: `period` is the name in the sentence ("November"); one part for each row of the
    page's table. Units: nanos of `currency`; in a running period `plan` is the plan to date.
    """
    whole = sum_variances(part.variance for part in parts)
    writer = _Writer(period, progress, currency)
    match whole.stance:
        case Stance.NO_SPEND:
            return writer.no_spend()
        case Stance.NO_PLAN:
            return writer.no_plan(whole, parts)
        case Stance.ON_PLAN:
            return writer.on_plan(whole, parts)
    return writer.off_plan(whole, parts)


def headline_of_one(
    *, name: str, period: str, progress: Progress, currency: str, variance: Variance
) -> str:
    """Which sentence opens the page of one use case? Same rule, without a cause to name."""
    amount = money(variance.actual, currency=currency).text
    running = progress is Progress.RUNNING
    until = " to date" if running else ""
    match variance.stance:
        case Stance.NO_SPEND:
            return f"{name} spent nothing in {period}{' yet' if running else ''}."
        case Stance.NO_PLAN:
            said = "has spent" if running else "spent"
            return f"{name} {said} {amount} in {period}; it has no plan."
        case Stance.ON_PLAN:
            due = money(variance.plan, currency=currency).text
            verb = "is" if running else "ended"
            return f"{name} {verb} on plan in {period}: {amount} of {due} planned{until}."
    size = money(abs(variance.delta or 0), currency=currency).text
    side = "over" if variance.stance is Stance.OVER else "under"
    verb = "is" if running else "ended"
    return f"{name} {verb} {size} {side} plan{until} in {period}."


@dataclass(frozen=True, slots=True)
class _Writer:
    period: str
    progress: Progress
    currency: str

    def no_spend(self) -> Headline:
        yet = " yet" if self.progress is Progress.RUNNING else ""
        return Headline(
            f"Nothing was spent in {self.period}{yet}.",
            "Spend appears here within two seconds of the first settled call.",
            Stance.NO_SPEND,
        )

    def no_plan(self, whole: Variance, parts: Sequence[Part]) -> Headline:
        ranked = sorted(parts, key=lambda part: (-part.variance.actual, part.name))
        first = ranked[0]
        part_of = percent(part=first.variance.actual, whole=whole.actual).text
        spent = self._money(whole.actual)
        start = (
            f"{self.period} has spent {spent} so far"
            if self.progress is Progress.RUNNING
            else f"{self.period} spent {spent}"
        )
        return Headline(
            f"{start}; there is no plan to compare it with.",
            f"{first.name} is the largest with {self._money(first.variance.actual)} "
            f"({part_of}). Enter a plan to see what is over and what causes it.",
            Stance.NO_PLAN,
        )

    def on_plan(self, whole: Variance, parts: Sequence[Part]) -> Headline:
        over = [part for part in parts if part.variance.stance is Stance.OVER]
        under = [part for part in parts if part.variance.stance is Stance.UNDER]
        verb = "is" if self.progress is Progress.RUNNING else "ended"
        spent = self._money(whole.actual)
        if over or under:
            detail = (
                f"{_count(len(over), 'use case is', 'use cases are')} over, "
                f"{_count(len(under), 'is', 'are').lower()} under; together they even out."
            )
        else:
            detail = "No use case is off its plan by an amount that matters."
        return Headline(
            f"{self.period} {verb} on plan: {spent} spent{self._against(whole)}.",
            detail,
            Stance.ON_PLAN,
        )

    def off_plan(self, whole: Variance, parts: Sequence[Part]) -> Headline:
        found = contributions([(part.name, part.variance) for part in parts])
        over = whole.stance is Stance.OVER
        side = "over" if over else "under"
        size = self._money(abs(whole.delta or 0))
        until = " to date" if self.progress is Progress.RUNNING else ""
        verb = "is" if self.progress is Progress.RUNNING else "ended"
        cause = _count(len(found.names), "use case causes it", "use cases cause it")
        return Headline(
            f"{self.period} {verb} {size} {side} plan{until}. {cause}.",
            f"{_names(found.names)} {self._effect(found.names, found.explained, over=over)}"
            f"{self._rest(found.others, found.rest, over=over)}.",
            whole.stance,
        )

    def _effect(self, names: Sequence[str], explained: Nanos, *, over: bool) -> str:
        one = len(names) == 1
        verb = ("adds" if one else "add") if over else ("spends" if one else "spend")
        less = "" if over else " less than planned"
        return f"{verb} {self._money(abs(explained))}{less}"

    def _rest(self, others: int, rest: Nanos, *, over: bool) -> str:
        if not others:
            return ""
        who = "the other one" if others == 1 else f"the other {_word(others)}"
        if rest == 0:
            return f"; {who} {'is' if others == 1 else 'are'} on plan"
        one = others == 1
        if over:
            return f"; {who} {'gives' if one else 'give'} back {self._money(-rest)} net"
        return f"; {who} {'adds' if one else 'add'} {self._money(rest)} net"

    def _against(self, whole: Variance) -> str:
        due = self._money(whole.plan or 0)
        if self.progress is Progress.RUNNING:
            return f" of {due} planned to date"
        return f" of {due} planned"

    def _money(self, nanos: Nanos) -> str:
        return money(nanos, currency=self.currency).text


def _word(count: int) -> str:
    return _WORDS[count].lower() if count < len(_WORDS) else f"{count:,}"


def _count(count: int, one: str, many: str) -> str:
    word = _WORDS[count] if count < len(_WORDS) else f"{count:,}"
    return f"{word} {one if count == 1 else many}"


def _names(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMES:
        rest = len(names) - (_MOST_NAMES - 1)
        names = [*names[: _MOST_NAMES - 1], f"{_word(rest)} more"]
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
