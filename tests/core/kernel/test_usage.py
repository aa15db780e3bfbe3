import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.usage import (
    INPUT_CLASSES,
    OUTPUT_CLASSES,
    Nesting,
    TokenClass,
    Usage,
    disjoint,
    reasoning_nesting,
)
from tests.core.kernel.golden import golden


def counts_of(case):
    counts = dict(case["counts"])
    for name in ("cache_nesting", "reasoning_nesting"):
        if name in counts:
            counts[name] = Nesting(counts[name])
    counts.setdefault("requests", 0)
    return counts


@pytest.mark.parametrize("case", golden("usage")["cases"], ids=lambda case: case["shape"])
def test_provider_counts_become_disjoint_classes(case):
    result = disjoint(**counts_of(case))
    assert result.usage == Usage(**case["usage"])
    assert result.consistent is case["consistent"]


def test_every_class_is_an_input_an_output_or_the_request():
    assert set(INPUT_CLASSES) | set(OUTPUT_CLASSES) | {TokenClass.REQUEST} == set(TokenClass)
    assert not set(INPUT_CLASSES) & set(OUTPUT_CLASSES)


def test_usage_has_one_field_per_class_in_the_order_of_the_classes():
    usage = Usage(**{each.value: index for index, each in enumerate(TokenClass)})
    assert list(usage.items()) == list(zip(TokenClass, range(len(TokenClass)), strict=True))


TOKENS = st.integers(0, 10**9)


@given(
    st.fixed_dictionaries(
        {
            "cached_input_tokens": TOKENS,
            "cache_write_tokens": TOKENS,
            "cache_write_1h_tokens": TOKENS,
            "reasoning_tokens": TOKENS,
            "audio_input_tokens": TOKENS,
            "audio_output_tokens": TOKENS,
            "image_input_tokens": TOKENS,
            "image_output_tokens": TOKENS,
        }
    ),
    TOKENS,
    TOKENS,
    st.sampled_from(Nesting),
    st.sampled_from(Nesting),
)
def test_consistent_classes_add_up_to_what_the_provider_counted(
    parts, text_in, text_out, cache_nesting, reasoning_nesting
):
    cache = sum(
        parts[f"{name}_tokens"] for name in ("cached_input", "cache_write", "cache_write_1h")
    )
    given_in = text_in + parts["audio_input_tokens"] + parts["image_input_tokens"]
    given_out = text_out + parts["audio_output_tokens"] + parts["image_output_tokens"]
    if cache_nesting is Nesting.INSIDE:
        given_in += cache
    if reasoning_nesting is Nesting.INSIDE:
        given_out += parts["reasoning_tokens"]
    result = disjoint(
        input_tokens=given_in,
        output_tokens=given_out,
        cache_nesting=cache_nesting,
        reasoning_nesting=reasoning_nesting,
        **parts,
    )
    assert result.consistent
    assert (result.usage.input, result.usage.output) == (text_in, text_out)
    outside = cache if cache_nesting is Nesting.OUTSIDE else 0
    assert result.usage.total_input == given_in + outside


@given(TOKENS, TOKENS, TOKENS)
def test_no_class_is_ever_negative(input_tokens, cached, output):
    usage = disjoint(
        input_tokens=input_tokens, cached_input_tokens=cached, output_tokens=output
    ).usage
    assert min(quantity for _, quantity in usage.items()) >= 0


def test_a_negative_class_can_not_be_built_by_hand():
    with pytest.raises(ValueError, match="reasoning is negative"):
        Usage(reasoning=-1)


def test_usages_add_class_by_class():
    assert Usage(input=1, output=2) + Usage(input=3, reasoning=4) == Usage(
        input=4, output=2, reasoning=4
    )


@pytest.mark.parametrize(
    ("total", "nesting"), [(3, Nesting.INSIDE), (8, Nesting.OUTSIDE), (99, Nesting.INSIDE)]
)
def test_the_providers_total_decides_where_reasoning_sits(total, nesting):
    found = reasoning_nesting(
        input_tokens=1, output_tokens=2, reasoning_tokens=5, total_tokens=total
    )
    assert found is nesting
