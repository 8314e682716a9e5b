"""Read complaints: abuse reports (RFC 5965) and the feedback loops that send the message back without one. Pure."""

import re
from collections.abc import Sequence
from email.message import Message
from typing import Final, NamedTuple

from identity_service.messages.inbound import mail_parts

REPORT_TYPE: Final = "text/x-feedback-report"
"""The type of the machine part as `mail_parts` names it."""
COMPLAINTS: Final = ("abuse", "fraud", "virus", "opt-out", "opt-out-list", "miscategorized", "complaint", "phishing")
"""Feedback types by which a recipient complains (RFC 5965, 7.3; RFC 6430, 3); `not-spam`, `auth-failure`, `dmarc` and
`other` are reports that no recipient sends as a complaint."""
_TYPE = re.compile(r"^feedback-type[ \t]*:[^\S\n]*[\"'<]?([^\"'>\s;]{0,40})", re.IGNORECASE | re.MULTILINE)
_RECIPIENT = re.compile(
    r"^(?:original-rcpt-to|removal-recipient|x-hmxmroriginalrecipient)[ \t]*:[ \t]*<?([^\s<>]{1,320}@[^\s<>]{1,255})>?",
    re.IGNORECASE | re.MULTILINE,
)


class FeedbackReport(NamedTuple):
    """A report about a message: its feedback type, whether that is a complaint, and the recipient if it is named."""

    feedback_type: str
    is_complaint: bool
    recipient: str | None


def read_report(mail: Message, parts: Sequence[Message]) -> FeedbackReport | None:
    """Return the feedback report in a mail, of several the first complaint; None if it is something else.

    A report without a type is a complaint.
    """
    reports = [_read_part(mail_parts.read_text(part)) for part in parts if part.get_content_type() == REPORT_TYPE]
    if reports:
        return next((report for report in reports if report.is_complaint), reports[0])
    if mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "feedback-report":
        # Some systems send the machine part as plain text.
        texts = (mail_parts.read_text(part) for part in parts if part.get_content_type() == "text/plain")
        return next((_read_part(text) for text in texts if _TYPE.search(text)), None)
    if any(part.get_content_type() == "message/rfc822" for part in parts):
        # Microsoft names the recipient in the head of its mail, or in that of the message it returns.
        named = (mail_parts.read_header(part, "X-HmXmrOriginalRecipient").strip() for part in (mail, *parts))
        recipient = next(filter(None, named), None)
        return FeedbackReport("complaint", is_complaint=True, recipient=recipient) if recipient else None
    return None


def _read_part(text: str) -> FeedbackReport:
    found, recipient = _TYPE.search(text), _RECIPIENT.search(text)
    kind = found[1].lower() if found else "complaint"
    return FeedbackReport(kind, kind in COMPLAINTS, recipient[1] if recipient else None)
