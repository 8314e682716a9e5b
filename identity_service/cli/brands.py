"""`brand check|words|preview`: look at the brands before customers do."""

import json
from typing import Annotated

import typer

from identity_service import translations
from identity_service.brands import files
from identity_service.brands.rules import BrandError
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.dev import previews
from identity_service.messages import words
from identity_service.messages.copy import COPY

brand_app = typer.Typer(no_args_is_help=True, help="Names, logos, colours, senders and words of pages and emails.")


@brand_app.command("check")
def check_brands(as_json: AsJson = False) -> None:
    """Read every brand, its logo and its words. Exit status 1: one has a mistake, and the service would not start."""
    settings = connections.load_settings()
    words.check_brands(settings)
    warnings = files.warnings(settings.brands)
    rows = [
        {
            "brand": brand.key,
            "name": brand.name,
            "host": brand.host,
            "sender": brand.mail and brand.mail.from_address,
            "languages": list(brand.offered),
            "words": {language: words.version(brand, language) for language in brand.words},
        }
        for brand in settings.brands.by_key.values()
    ]
    if as_json:
        output.print_json({"brands": rows, "warnings": warnings})
        return
    output.print_rows(rows, as_json=False)
    for warning in warnings:
        print("warning:", warning)


@brand_app.command("words")
def list_words(
    kind: Annotated[str, typer.Argument(help="The email, like `reset`; without one, all of them.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the sentences that a brand may word itself, in English, with their places in braces."""
    if kind and kind not in COPY:
        raise typer.BadParameter(f"There is no email {kind!r}; there are {', '.join(COPY)}.")
    found = {one: words.wordable(one) for one in ([kind] if kind else COPY)}
    if as_json:
        output.print_json(found)
        return
    for one, sentences in found.items():
        print(f"[{one}]")
        for name, text in sentences.items():
            print(f"{name} = {json.dumps(text, ensure_ascii=False)}")
        print()


@brand_app.command("preview")
def preview_email(
    kind: Annotated[str, typer.Argument(help="The email, like `reset`; another word lists them all.")],
    brand: Annotated[str, typer.Option(help="The brand's folder.")] = "default",
    language: Annotated[str, typer.Option(help="Its language, like de.")] = translations.SOURCE,
    as_json: AsJson = False,
) -> None:
    """Print an email with sample values, as the brand words it; with --json also its HTML."""
    settings = connections.load_settings()
    words.check_brands(settings)
    if kind not in COPY:
        raise typer.BadParameter(f"There is no email {kind!r}; there are {', '.join(COPY)}.")
    if brand not in settings.brands.by_key:
        raise BrandError(f"There is no brand {brand!r}; there are {', '.join(settings.brands.by_key)}.")
    email = previews.sample(kind, language, settings.brands.find(brand))
    if as_json:
        output.print_json({"subject": email.subject, "text": email.text, "html": email.html})
    else:
        print(f"{email.subject}\n\n{email.text}")
