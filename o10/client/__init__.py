"""How does a router ask o10 without Django? Sync, async, with fail modes, settling.

```python
from o10.client import Client

client = Client(base_url="http://127.0.0.1:8011", key="o10_…")
with client.call(use_case="support", model="openai/gpt-4o", input_tokens=1200) as call:
    answer = openai.chat.completions.create(model=…, max_tokens=call.max_output_tokens)
    call.used(answer)
```
"""

from o10.client.calls import AsyncCall, Call
from o10.client.errors import (
    AnswerUnreadable,
    DecisionPlaneAway,
    Denied,
    StateUnusable,
)
from o10.client.failmode import FailClosed, FailMode, FailOpen, LocalPrice
from o10.client.http import AsyncClient, Client
from o10.client.lessee import AsyncLessee, Lessee
from o10.client.local_till import LocalDecision
from o10.client.provider_usage import ProviderUsage, usage_in
from o10.client.refusal import Refusal, refusal_of

__all__ = [
    "AnswerUnreadable",
    "AsyncCall",
    "AsyncClient",
    "AsyncLessee",
    "Call",
    "Client",
    "DecisionPlaneAway",
    "Denied",
    "FailClosed",
    "FailMode",
    "FailOpen",
    "Lessee",
    "LocalDecision",
    "LocalPrice",
    "ProviderUsage",
    "Refusal",
    "StateUnusable",
    "refusal_of",
    "usage_in",
]
