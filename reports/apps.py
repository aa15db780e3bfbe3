"""Which application reads for finance and the board?"""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Reports stand above policies and the ledger; spend control hears their metrics."""

    name = "reports"
    verbose_name = "Reports"

    def ready(self) -> None:
        """Makes its changes possible and hands its metrics down.

        Not through the facade: decision workers would load pandas and plotly with it.
        """
        from reports.operations import ask_plan, close_changes, cost_changes
        from reports.queries import unit_metrics

        ask_plan.register_plan_change()
        cost_changes.register_cost_changes()
        close_changes.register_close_changes()
        unit_metrics.register_unit_metrics()
