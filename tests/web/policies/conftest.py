"""The company of the page tests, for the pages of spend control."""

from tests.web.reports.conftest import company, standing_clock

__all__ = ["company", "standing_clock"]
