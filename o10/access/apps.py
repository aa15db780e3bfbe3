"""How does Django know the access app?"""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """People, roles, sessions and router keys."""

    name = "o10.access"
    label = "access"
    default_auto_field = "django.db.models.BigAutoField"
