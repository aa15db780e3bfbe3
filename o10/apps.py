"""What is connected when the application starts?"""

from django.apps import AppConfig


class WiringConfig(AppConfig):
    """Loads Celery and the log format once all applications are there."""

    name = "o10"
    label = "o10"
    verbose_name = "o10"

    def ready(self) -> None:
        """Connects what spans the applications."""
        from o10 import celery, checks  # noqa: F401 - both register themselves
        from o10.telemetry import configure_logging

        configure_logging()
