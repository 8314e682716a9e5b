"""What the card on a page shows of a recovery code."""

from typing import Any

import segno

from identity_service.settings import Settings
from identity_service.values import secret_codes, user_ids


def recovery_card(user_id: str, code: str, settings: Settings) -> dict[str, Any]:
    """Return the code in groups, and a QR code of the page that takes it: what is secret is in the fragment, which no
    server is sent (REC-28). The picture is made here, so that nobody else sees the code."""
    address = f"{settings.public_url}/recover"
    link = f"{address}#{user_ids.show(user_id)}.{secret_codes.show(code)}"
    return {
        "code": secret_codes.show(code), "address": address,
        "picture": segno.make(link, error="m", micro=False).svg_data_uri(scale=4, border=4),
    }  # fmt: skip
