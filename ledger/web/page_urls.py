"""Which path leads to which page of ledger?"""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
