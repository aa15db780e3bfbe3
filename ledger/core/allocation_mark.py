"""Which entries only share out what the company pays beside inference?

Allocation lines are `adjust` entries of no envelope: they belong to fully loaded cost, move no
cap, and Spent leaves them out. Their attribution set says so and names the component.
Source: docs/algorithms/fully-loaded-cost.md.
"""

from typing import Final

ALLOCATION: Final = "allocation"
"""Key of the attribution set that holds the component of an allocation line."""
COMPONENT: Final = "component"
"""Key of the attribution set that holds the component of any other entry, when it is said."""

ALLOCATED: Final = (
    "gateway",
    "tools",
    "hardware",
    "hardware_waste",
    "observability",
    "human_review",
    "platform",
)
"""Components whose amounts finance states and rules share out."""


def allocation_meaning(component: str) -> dict[str, object]:
    """Which attribution set has an allocation line of this component?

    Raises: KeyError for a component that isn't shared out.
    """
    if component not in ALLOCATED:
        raise KeyError(component)
    return {ALLOCATION: component}
