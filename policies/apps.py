"""What is connected when spend control starts?"""

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """Spend control."""

    name = "policies"
    label = "policies"
    verbose_name = "Spend control"
    default_auto_field = "django.db.models.BigAutoField"
