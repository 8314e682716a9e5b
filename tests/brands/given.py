"""Two brands with everything that a brand can have, each of its own kind."""

from pathlib import Path

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40" width="120" height="40">'
    '<rect width="120" height="40" rx="6" fill="{color}"/>'
    '<text x="60" y="27" text-anchor="middle" font-size="22" fill="#ffffff">{name}</text></svg>'
)
ACME = """
name = "Acme"
legal_name = "Acme GmbH"
postal_address = "Musterstraße 1, 10115 Berlin"
telephone = "+49 30 1234 567"
host = "id.acme.example"
default_language = "de"
time_zone = "Europe/Berlin"

[colors]
accent = "#0b4f9c"
accent_dark = "#8ec5ff"

[links]
imprint = "https://acme.example/impressum"
privacy = "https://acme.example/datenschutz"

[mail]
from = "konto@acme.example"
reply_to = "hilfe@acme.example"
bounce_domain = "bounce.acme.example"
"""
ZETA = """
name = "Zeta Tools"
legal_name = "Zeta Tools SARL"
host = "compte.zeta.example"
default_language = "fr"
languages = ["fr", "en", "ar"]

[colors]
accent = "#7a1fa2"
accent_dark = "#e1a7f5"

[links]
help = "https://zeta.example/aide"

[mail]
from = "compte@zeta.example"
"""
MARKS = {
    "acme": ("Acme", "acme.example", "#0b4f9c", "#8ec5ff", "1234 567", "Musterstraße"),
    "zeta": ("Zeta", "zeta.example", "#7a1fa2", "#e1a7f5"),
    "default": ("Example Shop", "identity.example"),
}
"""What belongs to one brand and to no other."""


def write_brand(folder: Path, key: str, toml: str, **files: str | bytes) -> Path:
    """Write a brand's folder; a file named `logo_svg` is `logo.svg`, `words_de` is `words/de.toml`."""
    made = folder / key
    made.mkdir(parents=True, exist_ok=True)
    (made / "brand.toml").write_text(toml, encoding="utf-8")
    for name, content in files.items():
        kind, _, end = name.partition("_")
        path = made / "words" / f"{end}.toml" if kind == "words" else made / f"{kind}.{end}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return made


def write_both(folder: Path) -> Path:
    """Write both brands below `folder`, and return it."""
    own = '[reset]\nsubject = "Ihr Kennwort bei Acme"\nwhy = "Für die Kundennummer {user_id} soll es neu sein."\n'
    write_brand(folder, "acme", ACME, logo_svg=LOGO.format(color="#0b4f9c", name="Acme"), words_de=own)
    write_brand(folder, "zeta", ZETA, logo_svg=LOGO.format(color="#7a1fa2", name="Zeta"))
    write_brand(folder, "plain", 'name = "Plain"\n')
    return folder
