"""`settings`: every variable with its value."""

from identity_service import settings as configuration
from identity_service import start_checks
from identity_service.cli import defaults, output
from identity_service.cli.output import AsJson


def show_settings(as_json: AsJson = False) -> None:
    """Print every variable with its value, source and description; secrets are hidden. Changes nothing."""
    settings = configuration.read()
    of_run = {configuration.variable(name): value for name, value in defaults.plain_defaults(settings).items()}
    rows = [{**row, "run": of_run.get(row["variable"], row["value"])} for row in start_checks.explained(settings)]
    if as_json:
        output.print_json(rows)
        return
    print(f"Environment {settings.environment}; `serve` and `worker` that this shell starts use these values.")
    if of_run:
        print(f"`run` uses others where they are named; its key and its client are in {settings.data_dir.resolve()}.")
    for row in rows:
        other = f"; run: {row['run']}" if row["run"] != row["value"] else ""
        print(f"{row['variable']}={row['value']}  ({row['source']}{other})\n    {row['reason']}")
