"""Code named by a path, so that a registry need not import what it lists; a test resolves every path."""

import importlib
from typing import Any


def load(path: str) -> Any:  # noqa: ANN401
    """Import and return `concept.module:name` of this package, e.g. `registration.emails:build_welcome`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"identity_service.{module}"), name)
