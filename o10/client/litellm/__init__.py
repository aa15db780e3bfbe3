"""How does a LiteLLM proxy ask o10 before it spends? `O10Guard`, a LiteLLM callback.

```python
# o10_guard.py, beside the proxy's config.yaml (litellm_settings: callbacks: [o10_guard.guard])
import os
from o10.client.litellm import O10Guard

guard = O10Guard(
    base_url="http://127.0.0.1:8011",
    key=os.environ["O10_ROUTER_KEY"],
    use_cases={"team:support": "support-assistant"},
)
```

LiteLLM is imported when the guard is, not before: the rules beside it are read and tested
without it. How to run it and what it cannot do: docs/manual/litellm.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from o10.client.litellm.hooks import Leases, O10Guard
    from o10.client.litellm.settling import Left

__all__ = ["Leases", "Left", "O10Guard"]


def __getattr__(name: str) -> Any:
    """Loads the guard, and with it LiteLLM, at first use."""
    if name == "Left":
        from o10.client.litellm.settling import Left

        return Left
    if name not in ("Leases", "O10Guard"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from o10.client.litellm import hooks

    return getattr(hooks, name)
