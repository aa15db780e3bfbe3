"""How many tokens has the text of a request? By LiteLLM's tokenizer, each piece once.

System prompts, tools and the turns of a conversation come again with every call. A piece that
was counted is remembered by its digest: the text itself is forgotten.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import litellm

from o10.client.litellm.metering import Weight

IN_THREAD_ABOVE: Final = 16_384
"""Characters of text not counted before that are counted beside the event loop."""
REMEMBERED: Final = 20_000
MODELS: Final = 200
_DIGEST_BYTES: Final = 16
_SAMPLE: Final = "How many tokens are these? 1, 2, 3."

Count = Callable[[str], int]
Known = dict[bytes, int]


class TokenCounts:
    """How many tokens, by which model's tokenizer?"""

    def __init__(self) -> None:
        self._models: dict[str, tuple[Count, Known]] = {}

    def is_quick(self, model: str, weight: Weight) -> bool:
        """Is it counted so fast that nobody else waits for it?"""
        length = sum(map(len, weight.text))
        if length <= IN_THREAD_ABOVE:
            return True
        _, known = self._of(model)
        for piece in weight.text:
            if _digest(piece) in known:
                length -= len(piece)
        return length <= IN_THREAD_ABOVE

    def count(self, model: str, weight: Weight) -> int | None:
        """How many tokens? None when LiteLLM cannot say, or was told not to count."""
        if not weight.text:
            return 0
        if litellm.disable_token_counter:
            return None
        try:
            counted = self._sum(model, weight.text)
        except Exception:  # noqa: BLE001 - any tokenizer may fail at any text
            return None
        # Between two pieces there is at least a line feed.
        return counted + len(weight.text) - 1 if counted > 0 else None

    def _sum(self, model: str, pieces: list[str]) -> int:
        count, known = self._of(model)
        total = 0
        for piece in pieces:
            digest = _digest(piece)
            found = known.get(digest)
            if found is None:
                found = count(piece) if piece else 0
                if len(known) >= REMEMBERED:
                    known.clear()
                known[digest] = found
            total += found
        return total

    def _of(self, model: str) -> tuple[Count, Known]:
        found = self._models.get(model)
        if found is None:
            if len(self._models) >= MODELS:
                self._models.clear()
            found = self._models[model] = (_counter(model), {})
        return found


def _digest(piece: str) -> bytes:
    return blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _counter(model: str) -> Count:
    """LiteLLM's own counter for this model, without the search for it at every text."""

    def asking(text: str) -> int:
        return int(litellm.token_counter(model=model, text=text))

    try:
        from litellm.litellm_core_utils.token_counter import _get_count_function

        found: Count = _get_count_function(model)
        if found(_SAMPLE) == asking(_SAMPLE):
            return found
    except Exception:  # noqa: BLE001 - another release, another name
        return asking
    return asking
