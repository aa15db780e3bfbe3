"""Does a router that settles by itself come to the price that the books come to?"""

from typing import Any
from unittest.mock import Mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from o10.client.local_till import Terms, _rates, _text_prices, bill_of
from o10.kernel.rates import UnknownPrice
from o10.wire.leasing import Bracket, LocalTerms
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Settle, UsageCounts

TEXT = ("input", "cache_read", "output", "reasoning")
counts = st.integers(0, 3_000)
prices = st.dictionaries(st.sampled_from(TEXT), st.integers(0, 20_000_000_000))


def terms_of(low: dict[str, int], high: dict[str, int], fee: int) -> Terms:
    """Terms with two brackets: to 1,000 input tokens, and above."""
    brackets = (
        Bracket(above=-1, to=1_000, per_million=low, request_fee=fee),
        Bracket(above=1_000, to=None, per_million=high, request_fee=2 * fee),
    )
    rates = tuple((each, _rates(each, "USD")) for each in brackets)
    told = Mock(spec=LocalTerms, currency="USD", models=("openai/a",))
    return Terms(
        told=told,
        till=Mock(),
        form="",
        given=Mock(),
        defaulted=Mock(),
        grounds=Mock(venue="openai"),
        rates=rates,
        prices=_text_prices(rates),
        asked={},
    )


@given(
    low=prices,
    high=prices,
    fee=st.integers(0, 10**9),
    told=st.fixed_dictionaries(
        {
            "input_tokens": counts,
            "output_tokens": counts,
            "cached_input_tokens": counts,
            "reasoning_tokens": counts,
        },
        optional={
            "requests": st.integers(0, 3),
            "cache_write_tokens": st.integers(0, 5),
            "audio_output_tokens": st.integers(0, 5),
        },
    ),
    cost=st.none() | st.integers(0, 10**9),
)
def test_the_short_way_comes_to_the_price_of_the_long_way(
    low: dict[str, int], high: dict[str, int], fee: int, told: dict[str, int], cost: int | None
) -> None:
    terms = terms_of(low, high, fee)
    evidence = None if cost is None else {"amount": f"0.{cost:09d}", "currency": "USD"}
    request = msgspec.convert(
        {"reservation": "r", "usage": told, "provider_cost": evidence}, Settle
    )

    def bill() -> Any:
        try:
            return bill_of(request, terms=terms, amount=5, max_output_tokens=900, n=1)
        except UnknownPrice:
            return None

    short = bill()
    terms.prices = ()
    assert short == bill()


def test_text_goes_the_short_way() -> None:
    terms = terms_of(dict.fromkeys(TEXT, 750_000_000), dict.fromkeys(TEXT, 10**9), 7)
    usage = UsageCounts(
        input_tokens=1_001, output_tokens=40, cached_input_tokens=1, reasoning_tokens=10
    )
    assert terms.text_cost(usage) == 1_041_000 + 14
    request = Settle(reservation="r", usage=usage)
    bill = bill_of(request, terms=terms, amount=5, max_output_tokens=39, n=1)
    assert bill is not None
    assert bill.flags == {SettleFlag.CAPS_NOT_HONOURED}
