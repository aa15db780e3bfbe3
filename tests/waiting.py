"""Has a page become what a test waits for? Asked from outside: its policy forbids eval."""

import time
from typing import Any


def wait_until(page: Any, expression: str, arg: Any = None, *, timeout: float = 10_000) -> None:
    """Waits until the script `expression` is true in `page`; `timeout` in milliseconds.

    The browser's own waiting compiles the expression inside the page, which the content policy
    refuses as soon as the first look finds it false.
    Raises: AssertionError with the expression after `timeout`.
    """
    end = time.monotonic() + timeout / 1_000
    while not _is_so(page, expression, arg):
        assert time.monotonic() < end, f"still not so after {timeout:.0f} ms: {expression}"
        page.wait_for_timeout(25)


def _is_so(page: Any, expression: str, arg: Any) -> bool:
    try:
        return bool(page.evaluate(expression, arg))
    except Exception as error:
        # The page is going; the next one is asked.
        if "context was destroyed" in str(error) or "navigat" in str(error):
            return False
        raise
