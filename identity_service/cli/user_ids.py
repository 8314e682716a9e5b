"""`user-id new|check|spell`, without a database."""

import json
from typing import Annotated

import typer

from identity_service.cli import output
from identity_service.cli.output import AsJson
from identity_service.values import user_ids

id_app = typer.Typer(no_args_is_help=True, help="User IDs, without a database.")
_Text = Annotated[str, typer.Argument(help="The User ID as it was heard; hyphens, spaces and case do not matter.")]


@id_app.command("new")
def new_id(as_json: AsJson = False) -> None:
    """Print a new User ID; nothing is stored."""
    new = user_ids.show(user_ids.issue())
    print(json.dumps({"user_id": new}) if as_json else new)


@id_app.command("check")
def check_id(text: _Text, as_json: AsJson = False) -> None:
    """Check a User ID's check symbols, and suggest what may have been meant. Exit status 1 if it is wrong."""
    try:
        good = user_ids.show(user_ids.parse(text))
    except user_ids.MalformedUserId as wrong:
        if as_json:
            output.print_json({"valid": False, "detail": wrong.detail, **wrong.members})
        else:
            print(wrong.detail)
            for suggestion in wrong.members["suggestions"]:
                print(f"  suggestion {suggestion['user_id']}: {suggestion['reason']}")
        raise typer.Exit(1) from None
    print(json.dumps({"valid": True, "user_id": good}) if as_json else good)


@id_app.command("spell")
def spell_id(text: _Text, as_json: AsJson = False) -> None:
    """Print how to spell a User ID on the telephone."""
    words = user_ids.spell(user_ids.parse(text))
    print(json.dumps(words) if as_json else ", ".join(words))
