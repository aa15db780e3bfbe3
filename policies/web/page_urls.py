"""Which path leads to which page of policies?"""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
