"""What is connected when spend control starts?"""

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """Fills the ledger's slots: who keeps balances, whose spend, which decision is it."""

    name = "policies"
    label = "policies"
    verbose_name = "Spend control"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Gives the ledger the functions through which it calls upwards."""
        from ledger import facade as ledger
        from policies import facade

        ledger.set_exposure_keeper(facade.keep_exposure)
        ledger.set_place_finder(facade.find_places)
        ledger.set_decision_finder(facade.find_decision_words)
        facade.register_kill_kinds()
        facade.register_price_kinds()
        facade.register_envelope_kinds()
        facade.register_use_case_kinds()
        facade.register_correction_kinds()
        facade.register_policy_kind()
        facade.register_access_kinds()
        facade.register_person_kinds()
        facade.register_signed_change()
