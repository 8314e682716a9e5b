"""Numbers of contacts: six symbols of the User ID's alphabet, shown as `ABC-DEF`. Pure."""

from identity_service.values import user_ids


def show(number: str) -> str:
    """Return the form of the API and of people: `M45-MHF`."""
    symbols = user_ids.read_symbols(number)
    return f"{symbols[:3]}-{symbols[3:]}"
