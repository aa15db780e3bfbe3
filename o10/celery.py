"""Which jobs run beside the requests, and when?

Loaded by `AppConfig.ready`, never by importing the package. Jobs are safe to run twice and
late: each does what is due in the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery, Task
from celery.schedules import crontab
from django.conf import settings

from o10.kernel import clock


class KeptClockTask(Task):
    """A job that writes by a clock which agrees with the database's."""

    def before_start(
        self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Compares the clocks when it is time to."""
        # The scheduler loads this module before there are models.
        from ledger import facade

        clock.keep(facade.measure_clock_offset)


app = Celery("o10", task_cls=KeptClockTask)

_options: dict[str, object] = {
    "broker_url": settings.CELERY_BROKER_URL,
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_default_expires": 60,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "timezone": "UTC",
    "beat_schedule_filename": str(settings.O10_HOME / "celery-beat"),
    "beat_schedule": {
        "expire-reservations": {
            "task": "policies.expire_reservations",
            "schedule": 2.0,
            "options": {"expires": 10},
        },
        "reconcile-leases": {
            "task": "policies.reconcile_leases",
            "schedule": 5.0,
            "options": {"expires": 10},
        },
        "fold-denials": {
            "task": "policies.fold_denials",
            "schedule": 1.0,
            "options": {"expires": 5},
        },
        "end-approvals": {
            "task": "policies.end_approvals",
            "schedule": 2.0,
            "options": {"expires": 10},
        },
        "write-off-unsettled": {
            "task": "policies.write_off_unsettled",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        "watch-seal": {
            "task": "ledger.watch_seal",
            "schedule": 5.0,
            "options": {"expires": 10},
        },
        "count-costs": {
            "task": "reports.count_costs",
            "schedule": 5.0,
            "options": {"expires": 10},
        },
        "assess-units": {
            "task": "reports.assess_units",
            "schedule": 300.0,
            "options": {"expires": 300},
        },
        "sweep-strays": {
            "task": "ledger.sweep_strays",
            "schedule": crontab(hour=3, minute=17),
            "options": {"expires": 12 * 3600},
        },
        "evaluate-kill-criteria": {
            "task": "policies.evaluate_kill_criteria",
            "schedule": 60.0,
            "options": {"expires": 60},
        },
        "evaluate-alerts": {
            "task": "policies.evaluate_alerts",
            "schedule": 15.0,
            "options": {"expires": 15},
        },
        "deliver-alerts": {
            "task": "policies.deliver_alerts",
            "schedule": 2.0,
            "options": {"expires": 10},
        },
        "book-commitments": {
            "task": "policies.book_commitments",
            "schedule": crontab(minute=7),
            "options": {"expires": 3_000},
        },
        "propose-prices": {
            "task": "policies.propose_prices",
            "schedule": crontab(hour=4, minute=41),
            "options": {"expires": 12 * 3600},
        },
        "find-changes": {
            "task": "policies.find_changes",
            "schedule": 5.0,
            "options": {"expires": 10},
        },
        "weigh-changes": {
            "task": "policies.weigh_changes",
            "schedule": 30.0,
            "options": {"expires": 30},
        },
        "run-imports": {
            "task": "reports.run_imports",
            "schedule": 2.0,
            "options": {"expires": 10},
        },
        "watch-balances": {
            "task": "policies.watch_balances",
            "schedule": 5.0,
            "options": {"expires": 10},
        },
    },
}
if settings.CELERY_BROKER_URL.startswith("filesystem:"):
    folder = settings.CELERY_BROKER_DIRECTORY
    folder.mkdir(parents=True, exist_ok=True)
    _options["broker_transport"] = "o10.file_broker:Transport"
    _options["broker_transport_options"] = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(folder),
        "processed_folder": str(folder / "processed"),
        "store_processed": False,
        "polling_interval": 0.2,
    }

app.conf.update(_options)
app.autodiscover_tasks(["ledger", "policies", "reports"])
