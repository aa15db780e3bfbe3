"""Which part of a decision is the same for every call of a key, a use case and a model?

`decide` looks at everything for every call. Most of it changes only with the policy, the price
book or the clock's coarse hand: the key's scope, the state of the use case, the rates. Terms
are that part, found once by the same table of checks; what is left are four comparisons of
integers. A test proves that both give the same ruling for any call.
Source: decision-plane.md section 7.
"""

from dataclasses import dataclass

from o10.kernel.money import Nanos
from o10.kernel.rates import MILLION
from o10.kernel.usage import TokenClass
from o10.wire.decisions import Mode
from policies.core import estimate
from policies.core.checks import CHECKS, Case
from policies.core.question import Price
from policies.core.snapshot import UseCaseRule

UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every such call until policy or prices change?

    Units: tokens; nanos per million tokens for the two prices. `bound_most` is the most input
    the policy and the model take, `reach` the end of the price bracket of these rates.
    """

    rule: UseCaseRule
    price: Price
    input_price: int
    output_price: int
    fixed_nanos: Nanos
    default_output: int
    output_most: int
    bound_most: int
    cache_priced: bool
    output_priced: bool


def terms_of(case: Case) -> Terms | None:
    """Which terms has this call? None = it is refused before money, or not enforced.

    Such a call is decided in full, every time.
    """
    rule, price = case.rule, case.question.price
    if rule is None or price is None or case.bound is None or price.stale:
        return None
    if Mode(rule.mode) is not Mode.ENFORCE or rule.fit_output or rule.levers:
        return None
    if any(model.until is not None for model in rule.models or ()):
        # Whether it is still approved, the clock says anew for every call.
        return None
    if any(check(case) is not None for _, check in CHECKS):
        return None
    top = estimate.ceiling(rates=price.rates, may_write_cache=rule.may_write_cache)
    limits = (rule.max_input_tokens, price.context_tokens)
    return Terms(
        rule=rule,
        price=price,
        input_price=top.input_price,
        output_price=top.output_price,
        fixed_nanos=top.fixed_nanos,
        default_output=rule.default_max_output_tokens or estimate.DEFAULT_OUTPUT_TOKENS,
        output_most=UNBOUNDED if price.max_output_tokens is None else price.max_output_tokens,
        bound_most=min((limit for limit in limits if limit is not None), default=UNBOUNDED),
        cache_priced=price.rates.price_of(TokenClass.CACHE_READ) is not None,
        output_priced=not estimate.unpriced(
            rates=price.rates, cached_input_tokens=0, max_output_tokens=1
        ),
    )


def worst_of(terms: Terms, *, bound: int, wanted: int, n: int) -> Nanos:
    """What does the call cost at most? The rule of `estimate.worst_case`, in one line."""
    scaled = bound * terms.input_price + n * wanted * terms.output_price
    return -(-scaled // MILLION) + terms.fixed_nanos
