"""Which path leads to which door?"""

from django.conf import settings
from django.urls import include, path

urlpatterns = [
    path("", include("o10.access.web")),
    path("", include("o10.health")),
    path("", include("o10.frame")),
    path("api/", include("o10.openapi")),
    path("api/v1/", include("policies.plane.views")),
    path("api/v1/", include("policies.web.urls")),
    path("api/v1/", include("ledger.web.urls")),
    path("", include("ledger.web.page_urls")),
    path("", include("policies.web.page_urls")),
    path("", include("reports.web.urls")),
]

handler400 = "o10.problems.bad_request"
handler403 = "o10.problems.permission_denied"
handler404 = "o10.problems.not_found"
handler500 = "o10.problems.server_error"

if settings.DEBUG:
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))
