"""Which rules of alerts are there before anybody wrote one? A row for each built-in kind."""

from datetime import datetime

from o10.kernel import ids
from policies.core.alert_kinds import BUILT_IN
from policies.models import AlertRule


def write_built_in_rules(*, now: datetime) -> None:
    """Writes the rules that are not there yet; those that people changed stay as they are."""
    known = set(AlertRule.objects.filter(built_in=True).values_list("kind", flat=True))
    missing = [kind for kind in BUILT_IN if kind.name not in known]
    if not missing:
        return
    AlertRule.objects.bulk_create(
        [
            AlertRule(
                public=ids.new_id("alr"),
                name=kind.title,
                kind=kind.name,
                scope_kind="company",
                threshold=None,
                window=kind.windows[0].value,
                severity=kind.severity.value,
                built_in=True,
                created_at=now,
                created_by="system",
                updated_at=now,
            )
            for kind in missing
        ],
        ignore_conflicts=True,
    )
