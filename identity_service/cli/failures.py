"""What the command line says of expected failures."""

from pydantic import ValidationError
from pydantic_settings import SettingsError

from identity_service import settings as configuration
from identity_service import start_checks
from identity_service.brands.rules import BrandError
from identity_service.database.failures import is_unavailable
from identity_service.errors import Problem
from identity_service.key_store import actions as key_store
from identity_service.passwords.cpu import UnsuitableCpu


def explain(problem: Exception) -> str | None:
    """Return a sentence for an expected failure; None for one that nobody expected."""
    match problem:
        case Problem() | start_checks.StartRefused() | UnsuitableCpu() | SettingsError() | BrandError():
            return str(problem)
        case key_store.WrongMasterKey():
            return "The key ring was encrypted under another IDENTITY_MASTER_KEY."
        case ValidationError():
            return "\n".join(_setting_error(error["loc"], error["msg"]) for error in problem.errors())
        case OSError(filename=str() as name, strerror=reason):
            return f"{name}: {reason}"
    return "The database does not answer." if is_unavailable(problem) else None


def _setting_error(location: tuple[int | str, ...], reason: str) -> str:
    path = [configuration.variable(str(step)) if place == 0 else str(step) for place, step in enumerate(location)]
    return f"{'.'.join(path) or 'The settings'}: {reason.removeprefix('Value error, ')}"
