"""BRD-01 to BRD-03, BRD-08, BRD-09: what a brand's files may hold; a mistake names the file and the remedy."""

import io
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from identity_service.brands import files, logos, rules
from identity_service.brands.rules import Brand, BrandError
from identity_service.cli import main
from identity_service.messages import rendering, words
from identity_service.messages.copy import COPY
from tests.brands.given import ACME, LOGO, write_both, write_brand


def read(folder):
    return files.read_brands(folder, "Example Shop", "service@identity.example", "", "", "UTC")


def test_every_value_of_a_brand_is_read(tmp_path):
    brands = read(write_both(tmp_path))
    assert set(brands.by_key) == {"default", "acme", "zeta", "plain"}
    acme = brands.find("acme")
    assert (acme.name, acme.mail.domain, acme.offered[0]) == ("Acme", "acme.example", "de")
    assert acme.dialled == "+49301234567"
    assert acme.logo.media_type == "image/svg+xml"
    assert brands.of_host("compte.zeta.example").offered == ("fr", "en", "ar")
    assert brands.find("gone") is brands.find(None) is brands.by_key["default"]


def test_without_a_folder_there_is_one_brand_with_the_names_of_the_settings():
    only = read(None).find(None)
    assert (only.name, only.mail.from_address) == ("Example Shop", "service@identity.example")


def test_the_default_brand_takes_from_the_settings_what_its_file_does_not_say(tmp_path):
    write_brand(tmp_path, "default", '[colors]\naccent = "#7a1fa2"\naccent_dark = "#e1a7f5"\n')
    only = read(tmp_path).find(None)
    assert (only.name, only.colors.accent, only.mail.domain) == ("Example Shop", "#7a1fa2", "identity.example")


WRONG = {
    'name = "Acme"\nhost = "ID.acme.example"': "host: must be a host name in lower case",
    'name = "Acme"\nhost = "localhost"': "host: must be a host name",
    'name = "A\u202ecme"': "name: must be one printable line",
    'name = "=?utf-8?q?Acme?="': "name: must be one printable line",
    'name = "A\u200bcme"': "it contains",
    'name = "\u200e"': "it contains nothing that can be seen",
    'name = "Acme"\nlegal_name = "Acme \U000e0041"': "legal_name: must be one printable line",
    'name = "Acme"\ncolour = "red"': "colour: is unknown here; known: name, legal_name, postal_address,",
    'name = "Acme"\n[colors]\naccent = "red;}body{display:none"': "colors.accent",
    'name = "Acme"\n[colors]\naccent = "#ffd400"': "has a contrast of 1.2 to #e6efe9, and needs 4.5",
    'name = "Acme"\n[colors]\naccent_dark = "#0b4f9c"': "choose a lighter colour",
    'name = "Acme"\n[mail]\nsender = "a@acme.example"': "mail.sender: is unknown here; known: from, from_name,",
    'name = "Acme"\n[links]\nhelp = "javascript:alert(1)"': "links.help: must be an https:// address",
    'name = "Acme"\n[links]\nhelp = "https://user@acme.example/"': "links.help: must be an https:// address",
    'name = "Acme"\n[links]\nhelp = "https://\u0430cme.example/"': "links.help: must be an https:// address",
    'name = "Acme"\n[links]\nhelp = "http://acme.example/"': "links.help: must be an https:// address",
    'name = "Acme"\n[links]\nhelp = "https://acme.example/\\"onclick"': "must be printable ASCII",
    'name = "Acme"\ntelephone = "030 1234567"': "telephone",
    'name = "Acme"\ndefault_language = "tlh"': "there is no locales/tlh.po; there are en, ar, de",
    'name = "Acme"\ndefault_language = "de"\nlanguages = ["en"]': "must be one of the brand's languages",
    'name = "Acme"\ntime_zone = "Berlin"': "time_zone: must be a time zone, like Europe/Berlin",
    'name = "Acme"\n[mail]\nfrom = "Acme <a@acme.example>"': "mail.from",
    'name = "Acme"\n[mail]\nfrom = "a@acme.example"\nreply_to = "a@b.example\\r\\nBcc: e@example.com"': "mail.reply_to",
    'name = "Acme"\nkey = "other"': "key is no entry of this file",
    "name = Acme": "is not TOML",
    "": "name: Field required",
}


@pytest.mark.parametrize("toml", WRONG)
def test_a_mistake_is_told_with_its_place_and_the_remedy(tmp_path, toml):
    write_brand(tmp_path, "acme", toml)
    with pytest.raises(BrandError, match=r"acme/brand\.toml") as raised:
        read(tmp_path)
    assert WRONG[toml] in str(raised.value)


def test_a_file_that_is_not_read_is_told(tmp_path):
    write_brand(tmp_path, "acme", ACME, logo_jpg=b"")
    with pytest.raises(BrandError, match=r"logo\.jpg: is not read"):
        read(tmp_path)


def test_the_default_brands_name_is_that_of_its_sender(tmp_path):
    write_brand(tmp_path, "default", 'name = "Acme"\n')
    names = [rendering.sender_of(read(folder).find(None), None).from_name for folder in (tmp_path, None)]
    assert names == ["Acme", "Example Shop"]


def test_two_brands_with_one_host_are_refused(tmp_path):
    write_brand(tmp_path, "acme", ACME)
    write_brand(tmp_path, "other", ACME)
    with pytest.raises(BrandError, match=r"has the host id\.acme\.example already"):
        read(tmp_path)


@pytest.mark.parametrize("toml", [
    'name = "ACRNE"', 'name = "Acmé"', 'name = "\u0410\u0441m\u0435"', 'name = "\uff21cme"',
    'name = "Other"\n[mail]\nfrom = "a@other.example"\nfrom_name = "Acme"',
])  # fmt: skip
def test_a_name_that_is_read_for_another_is_warned_of(tmp_path, toml):
    """BRD-07: "Acrne" beside "Acme"."""
    write_brand(tmp_path, "acme", ACME)
    write_brand(tmp_path, "fake", toml)
    assert any("fake: its name looks like that of acme" in warning for warning in files.warnings(read(tmp_path)))


@pytest.mark.parametrize(("one", "other", "ratio"), [
    ("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#1d5c4a", "#ffffff", 7.83),
    ("#abcdef", "#abcdef", 1.0),
])  # fmt: skip
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert rules.contrast(one, other) == rules.contrast(other, one) == pytest.approx(ratio, abs=0.01)


def svg(inside: str, **attributes: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"{more}>{inside}</svg>'


HOSTILE = {
    svg("<script>alert(1)</script>"): "the element script is not allowed",
    svg("<rect/>", onload="alert(1)"): "the attribute onload is not allowed",
    svg('<rect onclick="alert(1)"/>'): "the attribute onclick is not allowed",
    svg("<foreignObject><body/></foreignObject>"): "the element foreignObject is not allowed",
    svg("<style>rect{fill:url(https://evil.example)}</style>"): "the element style is not allowed",
    svg('<rect style="fill:red"/>'): "the attribute style is not allowed",
    svg('<image xlink:href="https://evil.example/x.png"/>'): "the element image is not allowed",
    svg('<use xlink:href="#a"/>'): "the element use is not allowed",
    svg('<rect fill="url(https://evil.example/x)"/>'): "refers to something outside",
    svg('<rect fill="url(other.svg)"/>'): "refers to something outside",
    svg('<rect transform="url(a) rotate(4)"/>'): "refers to something outside",
    svg('<a href="javascript:alert(1)"><rect/></a>'): "the element a is not allowed",
    svg('<animate attributeName="href" values="javascript:alert(1)"/>'): "the element animate is not allowed",
    '<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"): "has a document type",
    '<?xml-stylesheet href="https://evil.example"?>' + svg(""): "has a document type or a processing instruction",
    "<html><script>alert(1)</script></html>": "is not an SVG",
    svg("<rect>"): "is not well-formed XML",
    "\x89PNG\r\n\x1a\n" + svg("<rect/>"): "is not well-formed XML",
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_svg_with_anything_but_shapes_is_refused(hostile):
    """BRD-01: by lists of what is allowed; nothing is left out in silence."""
    with pytest.raises(BrandError) as raised:
        logos.clean_svg(hostile.encode(), "logo.svg")
    assert HOSTILE[hostile] in str(raised.value)


ENTITY = '<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("<text>&a;</text>")
DISGUISED = {
    "a byte order mark": (ENTITY.encode("utf-16"), "is not UTF-8"),
    "UTF-16 without one": (ENTITY.encode("utf-16-le"), "is not UTF-8"),
    "a byte order mark of UTF-8": (ENTITY.encode("utf-8-sig"), "has a document type"),
    "elements in each other": (svg("<g>" * 30_000 + "</g>" * 30_000).encode(), "has 30001 elements in each other"),
}


@pytest.mark.parametrize("case", DISGUISED)
def test_no_encoding_hides_an_entity_and_no_depth_ends_the_start(case):
    """BRD-01: what is looked through is what is read."""
    content, reason = DISGUISED[case]
    with pytest.raises(BrandError, match=reason):
        logos.clean_svg(content, "logo.svg")


def test_an_encoding_that_nobody_knows_changes_nothing():
    made = logos.clean_svg(b'<?xml version="1.0" encoding="foo"?>' + svg("<text>\u00e9</text>").encode(), "logo.svg")
    assert "\u00e9".encode() in made


def test_a_logo_of_shapes_stays_as_it_is():
    drawn = LOGO.format(color="#0b4f9c", name="Acme").replace("<rect", '<rect transform="translate(1 2) rotate(-4.5)"')
    made = logos.clean_svg(drawn.encode(), "logo.svg")
    assert b"<rect" in made
    assert b"Acme</text>" in made


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def chunks(content: bytes) -> list[bytes]:
    """Return the types of a PNG's chunks."""
    found, place = [], 8
    while place < len(content):
        found.append(content[place + 4 : place + 8])
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    return found


def test_a_png_is_written_anew_without_what_stood_behind_it(tmp_path):
    """BRD-01: a polyglot loses its other half, a picture its notes."""
    made = io.BytesIO()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "<script>")
    profile = b"<script>" * 20
    Image.new("RGBA", (8, 4), "#0b4f9c").save(made, "PNG", pnginfo=notes, icc_profile=profile, exif=b"Exif\0\0<script>")
    path = tmp_path / "logo.png"
    path.write_bytes(made.getvalue() + b"<script>alert(1)</script>")
    logo = logos.read_logo(path)
    assert b"script" not in logo.content
    assert chunks(logo.content) == [b"IHDR", b"IDAT", b"IEND"]
    assert Image.open(io.BytesIO(logo.content)).size == (8, 4)


@pytest.mark.parametrize(("content", "reason"), [
    (png(30_000, 30_000), "could be decompression bomb"), (b"<svg/>", "cannot be read as a PNG"),
    (b"GIF89a" + bytes(50), "cannot be read as a PNG"), (png(100, 100, b"x"), "cannot be read as a PNG"),
])  # fmt: skip
def test_a_png_that_is_too_large_or_none_is_refused(tmp_path, content, reason):
    path = tmp_path / "logo.png"
    path.write_bytes(content)
    with pytest.raises(BrandError, match=reason):
        logos.read_logo(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "logo.svg"
    path.write_bytes(bytes(logos.LARGEST + 1))
    with pytest.raises(BrandError, match="a logo may have"):
        logos.read_logo(path)


REFUSED = {
    (
        "reset",
        "why",
        "Ein neues Kennwort.",
    ): "/b/acme/words/de.toml [reset] why: lacks {user_id};",
    ("reset", "why", "{user_id} {user_id}"): "has {user_id} more than once; leave one.",
    ("reset", "why", "{userid}"): "{userid} is unknown here; known: {user_id}.",
    ("reset", "subject", "{user_id}"): "may have no place; remove {user_id}.",
    ("reset", "why", "{user_id.__class__}"): "plain text",
    ("reset", "why", "{user_id!r:>9999}"): "plain text",
    ("reset", "why", "{0} {user_id}"): "plain text",
    ("reset", "why", "{{7*7}} {user_id}"): "plain text",
    ("reset", "why", "{% if 1 %}{user_id}"): "plain text",
    ("reset", "why", "<a href=x>{user_id}</a>"): "plain text",
    ("reset", "why", "{user_id} https://evil.example"): "may have no link or address",
    ("reset", "why", "{user_id} HTTPS:evil"): "may have no link or address",
    ("reset", "why", "{user_id}: hilfe@evil"): "may have no link or address",
    ("reset", "why", "{user_id} auf evil.example"): "needs a blank behind a full stop",
    ("reset", "why", "{user_id}.evil"): "needs a blank behind a full stop",
    ("reset", "why", "{user_id} auf evil\u3002example"): "needs a blank behind a full stop",
    ("reset", "why", "{user_id} auf ev\u00adil.example"): "plain text",
    ("reset", "why", "{user_id} auf 192.0.2.1"): "may have no link or address",
    ("reset", "why", "{user_id} mit Ra\u200bbatt"): "plain text",
    ("reset", "why", "{user_id} mit \uff32abatt"): "promotes something",
    ("reset", "why", "{user_id} avec une offre"): "promotes something",
    ("reset", "why", "{user_id} خصم"): "promotes something",
    ("reset", "why", "{user_id} mit 20 % Rabatt"): "promotes something; an email about an account never does.",
    ("reset", "subject", "Neu\r\nBcc: e@example.com"): "plain text",
    ("reset", "subject", "=?utf-8?q?x?="): "plain text",
    ("reset", "safety", "Nennen Sie uns Ihr Kennwort."): "cannot be worded",
    ("welcome", "promise", "Vielleicht."): "cannot be worded",
    ("reset", "not_you", "Danke."): "cannot be worded",
    ("reset", "footer", "x"): "cannot be worded",
    ("newsletter", "why", "x"): "there is no such email",
    ("reset", "why", " "): "plain text",
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[1]} {case[2][:20]!r}")
def test_words_that_leave_out_hide_or_add_something_are_refused(case):
    """BRD-08, BRD-09: places are those of ours; no template, no HTML, no link; the promise and the warning stay."""
    kind, name, text = case
    brand = Brand(key="acme", name="Acme", words={"de": {kind: {name: text}}})
    with pytest.raises(BrandError) as raised:
        words.check_words(brand, Path("/b"))
    assert REFUSED[case] in str(raised.value)


@pytest.mark.parametrize("text", [
    "Für {user_id}, z.B. am 24.12.2026 um 9.30 Uhr: S.p.A., GmbH. Schluss.", "رقمك\u200f {user_id} هنا.",
])  # fmt: skip
def test_an_ordinary_sentence_is_taken(text):
    words.check_words(Brand(key="acme", name="Acme", words={"de": {"reset": {"why": text}}}), Path("/b"))


def test_words_in_an_unknown_language_are_told(tmp_path):
    write_brand(tmp_path, "acme", ACME, words_tlh="")
    with pytest.raises(BrandError, match=r"words/tlh\.toml: is not read"):
        read(tmp_path)


def test_a_brand_may_use_the_relays_that_there_are(settings):
    write_brand(settings.brands_dir, "other", 'name = "Other"\n[mail]\nfrom = "a@other.example"\nrelays = ["away"]\n')
    with pytest.raises(BrandError, match="IDENTITY_RELAYS has no 'away'"):
        words.check_brands(settings.model_copy())


def test_the_host_where_everybody_signs_in_is_no_brand_s_own(settings):
    """BRD-05: /signin would lead to itself."""
    write_brand(settings.brands_dir, "other", 'name = "Other"\nhost = "id.example.com"\n')
    with pytest.raises(BrandError, match=r"other/brand\.toml: host: id\.example\.com is that of IDENTITY_PUBLIC_URL"):
        words.check_brands(settings.model_copy())


@pytest.mark.parametrize("kind", COPY)
def test_no_warning_can_be_worded(kind):
    """BRD-09: what to do if somebody else asked, which words a caller must know, and what nobody asks for."""
    assert not {"safety", "promise", "not_you", "phrase"} & set(words.wordable(kind))


def test_every_mistake_of_every_file_is_told_at_once(tmp_path, capsys, monkeypatch):
    """An operator who mends one mistake after the other gives up at the fourth: a line each, and none is twice."""
    wrong = (
        'host = "ID.acme.example"\nkey = "x"\ncolor = "red"\ndefault_language = "de"\nlanguages = ["fr"]\n'
        '[colors]\naccent = "#ffff00"\naccent_dark = "#000000"\n[links]\nhelp = "http://acme.example/"\n'
    )
    write_brand(
        tmp_path, "acme", wrong, logo_svg=svg("<script/><script/><rect onclick='x' style='y'/>"), logo_jpg=b"",
        words_tlh="", words_fr="=",
        words_de='welcome = 1\n[reset]\nwhy = "Neu."\nfooter = "x"\n[newsletter]\nwhy = "x"',
    )  # fmt: skip
    other = '[mail]\nfrom = "a@other.example"\nrelays = ["away", "gone"]\n'
    write_brand(tmp_path, "one", f'name = "One"\nhost = "id.one.example"\n{other}')
    write_brand(tmp_path, "two", 'name = "Two"\nhost = "id.one.example"\n', logo_png=b"x")
    write_brand(tmp_path, "three", "name =")
    monkeypatch.setenv("IDENTITY_BRANDS_DIR", str(tmp_path))
    monkeypatch.setenv("IDENTITY_PUBLIC_URL", "https://id.one.example")
    monkeypatch.setattr(sys, "argv", ["identity-service", "brand", "check"])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    told = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    assert len(told) == len(set(told))
    expected = [
        "acme/brand.toml: key is no entry", "acme/brand.toml: name: Field required", "acme/brand.toml: host: must be",
        "acme/brand.toml: color: is unknown here", "acme/brand.toml: default_language: must be one of",
        "acme/brand.toml: colors: accent: #ffff00", "accent_dark: #000000", "acme/brand.toml: links.help: must be",
        "acme/logo.jpg: is not read", "acme/logo.svg: the element script", "acme/logo.svg: the attribute onclick",
        "acme/logo.svg: the attribute style", "acme/words/tlh.toml: is not read", "acme/words/fr.toml: is not TOML",
        "acme/words/de.toml: welcome must be a table", "acme/words/de.toml [reset] why: lacks {user_id}",
        "acme/words/de.toml [reset] footer: cannot be worded", "acme/words/de.toml [newsletter]: there is no such",
        "one/brand.toml: mail.relays: IDENTITY_RELAYS has no 'away'", "IDENTITY_RELAYS has no 'gone'",
        "one/brand.toml: host: id.one.example is that of IDENTITY_PUBLIC_URL",
        "two/brand.toml: host: id.one.example is",
        "two/logo.png: cannot be read as a PNG", "brands/two: one has the host", "three/brand.toml: is not TOML",
    ]  # fmt: skip
    assert [wanted for wanted in expected if not any(wanted in line for line in told)] == []
    assert len(told) == len(expected) - 1, told
