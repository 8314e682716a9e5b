"""One parser under a coverage-guided fuzzer: `python -m tests.abuse.fuzz PARSER [libFuzzer's options] [corpus]`.

It runs in an environment of its own (`.fuzzing`), because atheris is made for few Pythons. The properties are those of
`parsers.py`; an input that takes too long is an error as well (`-timeout`), so a regular expression cannot explode.
"""

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
FOLLOWED = {
    "identity_service.keys.signing", "identity_service.values.email_addresses", "identity_service.values.text",
    "identity_service.values.user_ids", "identity_service.imports.files", "identity_service.imports.rows",
    "identity_service.messages.delivery.replies", "identity_service.messages.inbound.dsn",
    "identity_service.messages.inbound.complaints", "identity_service.messages.inbound.delivery_status",
    "identity_service.messages.inbound.mail_parts", "identity_service.messages.inbound.worded_notices",
    "identity_service.messages.rules", "identity_service.passwords.legacy_hashes",
    "identity_service.passwords.legacy_schemes", "identity_service.web.pagination",
}  # fmt: skip
"""The parsers themselves: to watch the whole product takes longer to begin than a short search lasts."""
PRODUCT = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "identity_service").rglob("*.py")
}

with atheris.instrument_imports(include=["identity_service", "email_validator", "email"], exclude=PRODUCT - FOLLOWED):
    from tests.abuse.parsers import PARSERS


def main() -> None:
    """Fuzz the parser that is named first."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, PARSERS[name].holds)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
