"""Which criteria are offered to everybody? The default pack.

Source: product.md section 7.5. All are proposed to people but those that stop at once.
"""

from dataclasses import dataclass
from typing import Final

from policies.core.kill_spec import DAY_S, Spec


@dataclass(frozen=True, slots=True)
class Offered:
    """Which criterion is it, of what, and how does it read?

    `scope_kind` use_case = one for each use case that wants it.
    """

    slug: str
    name: str
    scope_kind: str
    spec: Spec


PACK: Final = (
    Offered(
        "envelope-spent",
        "Envelope spent",
        "use_case",
        Spec(
            metric="envelope_utilisation",
            threshold="1",
            consecutive=1,
            lever="freeze",
            severity="critical",
            evidence="Balances of the running period.",
        ),
    ),
    Offered(
        "served-against-compliance",
        "Served against compliance",
        "use_case",
        Spec(
            metric="violations",
            threshold="1",
            window_s=DAY_S,
            min_sample=0,
            consecutive=1,
            lever="freeze",
            board_review=True,
            severity="critical",
            evidence="Decision log: allowed against residency, retention or approval.",
        ),
    ),
    Offered(
        "outcome-cost-up",
        "Cost per outcome up in a week",
        "use_case",
        Spec(
            metric="cost_per_outcome_wow",
            comparator=">",
            threshold="0.2",
            window_s=7 * DAY_S,
            min_sample=30,
            lever="notify",
            execution="propose",
            evidence="Fully loaded cost and confirmed outcomes.",
        ),
    ),
    Offered(
        "retry-waste",
        "Money wasted on retries",
        "use_case",
        Spec(
            metric="retry_waste",
            comparator=">",
            threshold="0.15",
            window_s=DAY_S,
            min_sample=200,
            lever="cap_steps",
            amount=8,
            execution="propose",
            evidence="Settled attempts that failed, were cancelled or lost a race.",
        ),
    ),
    Offered(
        "frontier-for-simple",
        "Frontier models on simple tasks",
        "use_case",
        Spec(
            metric="premium_share",
            comparator=">",
            threshold="0.4",
            window_s=7 * DAY_S,
            min_sample=200,
            lever="rightsizing",
            execution="propose",
            evidence="Direct cost by tier and task type.",
        ),
    ),
    Offered(
        "review-heavy",
        "Human review dominates",
        "use_case",
        Spec(
            metric="review_share",
            comparator=">",
            threshold="0.25",
            window_s=DAY_S,
            min_sample=1,
            consecutive=3,
            lever="notify",
            execution="propose",
            evidence="Fully loaded cost, component human review.",
        ),
    ),
    Offered(
        "spend-jump",
        "Spend jumped",
        "use_case",
        Spec(
            metric="spend_jump",
            comparator=">",
            threshold="0.3",
            window_s=DAY_S,
            min_sample=28,
            consecutive=1,
            lever="notify",
            execution="propose",
            evidence="Spend of the same weekday over four weeks.",
        ),
    ),
    Offered(
        "eval-collapse",
        "Quality collapsed",
        "use_case",
        Spec(
            metric="eval_collapse",
            threshold="1",
            window_s=DAY_S,
            min_sample=50,
            consecutive=1,
            lever="freeze",
            severity="critical",
            evidence="Latest replay of the eval suite.",
        ),
    ),
    Offered(
        "kyi-low",
        "KYI below its floor",
        "use_case",
        Spec(
            metric="kyi_composite",
            comparator="<",
            threshold="65",
            window_s=DAY_S,
            min_sample=1,
            lever="notify",
            execution="propose",
            evidence="The score of the last assessment.",
        ),
    ),
    Offered(
        "nobody-owns-it",
        "Spend nobody owns",
        "company",
        Spec(
            metric="unattributed_share",
            comparator=">",
            threshold="0.05",
            window_s=DAY_S,
            min_sample=1,
            lever="notify",
            execution="propose",
            evidence="Entries without a registered use case.",
        ),
    ),
    Offered(
        "retry-loop",
        "Runaway retry loop",
        "use_case",
        Spec(
            metric="repeat_loop",
            threshold="20",
            window_s=600,
            min_sample=5,
            consecutive=1,
            lever="notify",
            execution="propose",
            severity="critical",
            evidence="Decision log: one step fingerprint, or one repeated request of a run.",
        ),
    ),
    Offered(
        "dearer-model",
        "Silent switch to a dearer model",
        "use_case",
        Spec(
            metric="dearer_model",
            comparator=">",
            threshold="0.1",
            window_s=DAY_S,
            min_sample=200,
            consecutive=1,
            lever="notify",
            execution="propose",
            evidence="Cost per token by model against the week before.",
        ),
    ),
    Offered(
        "forgotten-schedule",
        "Forgotten scheduled job",
        "use_case",
        Spec(
            metric="idle_schedule",
            threshold="7",
            window_s=7 * DAY_S,
            min_sample=7,
            consecutive=1,
            lever="notify",
            execution="propose",
            evidence="Spend between 22:00 and 06:00 and outcomes.",
        ),
    ),
)
"""In the order of product.md 7.5."""


def find_offered(slug: str) -> Offered | None:
    """Which criterion of the pack has this name? None = none."""
    return next((each for each in PACK if each.slug == slug), None)
