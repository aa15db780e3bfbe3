"""Did the mail server take this mail? Text and HTML, one id for each message, however often."""

import smtplib
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from policies.operations.post_outside import Answer

_TAKEN = 250


def send_mail(
    *,
    to: Sequence[str],
    subject: str,
    text: str,
    html: str,
    message: str,
    settings_url: str,
) -> Answer:
    """What did the server say? 250 = taken; 0 = it could not be asked.

    `Message-ID` is made of the message id: a mail sent again after a crash has the same, and
    mail systems show it once.
    """
    host = urlsplit(settings.O10_BASE_URL).hostname or "localhost"
    mail = EmailMultiAlternatives(
        subject=subject,
        body=text,
        to=list(to),
        headers={
            "Message-ID": f"<{message}@{host}>",
            "List-Unsubscribe": f"<{settings_url}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(html, "text/html")
    try:
        mail.send()
    except smtplib.SMTPResponseException as error:
        return Answer(int(error.smtp_code), "the mail server refused it")
    except smtplib.SMTPRecipientsRefused:
        return Answer(550, "the mail server refused the recipients")
    except (smtplib.SMTPException, OSError) as error:
        return Answer(0, f"the mail server could not be asked ({type(error).__name__})")
    return Answer(_TAKEN, "taken by the mail server")
