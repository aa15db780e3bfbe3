"""Which path leads to which door?"""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

import ledger.web.page_urls
import ledger.web.urls
import policies.plane.views
import policies.web.page_urls
import policies.web.price_urls
import policies.web.urls
import reports.web.urls
from o10 import frame, health, openapi
from o10.access import web as sign_in

urlpatterns = [
    path("", include(sign_in)),
    path("", include(health)),
    path("", include(frame)),
    path("api/", include(openapi)),
    path("api/v1/", include(policies.plane.views)),
    path("api/v1/", include(policies.web.urls)),
    path("api/v1/", include(ledger.web.urls)),
    path("", include(ledger.web.page_urls)),
    path("", include(policies.web.page_urls)),
    path("", include(policies.web.price_urls)),
    path("", include(reports.web.urls)),
]

handler400 = "o10.problems.bad_request"
handler403 = "o10.problems.permission_denied"
handler404 = "o10.problems.not_found"
handler500 = "o10.problems.server_error"

if settings.DEBUG:
    urlpatterns.append(path("admin/", admin.site.urls))
