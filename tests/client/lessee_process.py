"""One router process of the cap test: it calls until it is denied. Prints what went."""

import json
import os
import signal
import sys

from o10.client import Client, Lessee
from o10.client.exchange import Patience
from o10.kernel.errors import O10Error


def main(url: str, key: str, state: str, tokens: int, die_after: int) -> None:
    """Admitted calls are billed at their worst case; the provider's bill is what is printed."""
    client = Client(base_url=url, key=key, state_dir=state, patience=Patience(total_s=10))
    admitted = failed = denied = 0
    with client, Lessee(client) as lessee:
        while denied < 20:
            try:
                decision = lessee.authorize(
                    use_case="support-assistant",
                    model="openai/gpt-4o",
                    input_tokens=2 * tokens,
                    max_output_tokens=tokens,
                )
            except O10Error:
                failed += 1
                if failed > 50:
                    raise
                continue
            if not decision.decision.goes:
                denied += 1
                continue
            admitted += 1
            if die_after and admitted >= die_after:
                print(json.dumps({"admitted": admitted}), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            lessee.settle(
                reservation=decision.reservation.token,
                usage={"input_tokens": 2 * tokens, "output_tokens": tokens},
            )
    told = {"admitted": admitted, "local": lessee.local, "remote": lessee.remote}
    print(json.dumps(told | {"failed": failed}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
