"""Which page of a long list is this, and where are the newer and the older one?

A list of millions has no page 3,817: each page knows the cursor of the next older one. The
address carries the cursors that led here (`cursor=a,b,c`), so that "Newer" goes back exactly,
without script and from a copied link. Older cursors than TRAIL_MOST are forgotten; from there
"Newer" leads to the newest page.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from o10.kernel.pageview import PageView
from o10.kernel.viewquery import to_text

TRAIL_MOST: Final = 20
CURSOR_MOST: Final = 80
"""Characters of one cursor; ours are shorter."""
_KEY: Final = "cursor"


@dataclass(frozen=True, slots=True)
class CursorPage:
    """Which rows are these, of how many, and where do newer and older ones stand?

    Shape: `total` None = more than was worth counting; an empty address = there is none.
    """

    first: int
    last: int
    total: int | None
    newer_url: str = ""
    older_url: str = ""


def split_trail(
    pairs: Iterable[tuple[str, str]],
) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Which pairs belong to the view, and which cursors led to this page, oldest step first?"""
    rest: list[tuple[str, str]] = []
    trail: tuple[str, ...] = ()
    for key, value in pairs:
        if key != _KEY:
            rest.append((key, value))
            continue
        steps = [step for step in value.split(",") if step and len(step) <= CURSOR_MOST]
        trail = tuple(steps[-TRAIL_MOST:])
    return rest, trail


def cursor_page(
    view: PageView,
    *,
    trail: tuple[str, ...],
    shown: int,
    size: int,
    total: int | None,
    following: str | None,
) -> CursorPage:
    """How does this page stand between its neighbours?

    Shape: `shown` rows of at most `size` are on the page; `following` the cursor of the next.
    """
    number = max(view.query.page_number, len(trail) + 1) if trail else 1
    first = (number - 1) * size + 1
    newer = older = ""
    if trail:
        known = len(trail) > 1 or number == 2
        newer = _address(view, number - 1, trail[:-1]) if known else _address(view, 1, ())
    if following is not None:
        older = _address(view, number + 1, (*trail, following)[-TRAIL_MOST:])
    return CursorPage(first if shown else 0, first + shown - 1, total, newer, older)


def _address(view: PageView, number: int, trail: tuple[str, ...]) -> str:
    text = to_text(replace(view.query, page_number=number), page=view.grammar)
    steps = f"{_KEY}={quote(','.join(trail), safe=',.~-_:+')}" if trail else ""
    whole = "&".join(part for part in (text, steps.replace("+", "%2B")) if part)
    return f"{view.path}?{whole}" if whole else view.path
