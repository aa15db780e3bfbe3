"""Whose money is it?"""

from django.db import models
from django.db.models import Q


class Organisation(models.Model):
    """Which company does this installation serve? One row; its ledger names the currency.

    `demo` true = figures are those of the demo company, and every page says so.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    slug = models.CharField(max_length=64)
    name = models.CharField(max_length=120)
    demo = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=64)

    class Meta:
        """Table and rule."""

        db_table = "policies_organisation"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="organisation_is_one")]

    def __str__(self) -> str:
        """The name on screen."""
        return self.name
