"""Read the sentences that a brand words itself: `words/<language>.toml`, a table for each kind of email.

What a sentence may say and must contain is checked where the copy of the emails is (`messages.words`).
"""

import tomllib
from pathlib import Path
from typing import Any

from identity_service import translations
from identity_service.brands.rules import Mistakes


def read_words(folder: Path, mistakes: Mistakes) -> dict[str, dict[str, dict[str, str]]]:
    """Return the sentences by language, kind of email, and name of the paragraph (`subject` for the subject).

    What cannot be read is left out, and told in `mistakes`.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix != ".toml" or path.stem not in translations.languages():
            known = ", ".join(f"{language}.toml" for language in translations.languages())
            mistakes.append(f"{path}: is not read; words are in {known}.")
        else:
            found[path.stem] = _read(path, mistakes)
    return found


def _read(path: Path, mistakes: Mistakes) -> dict[str, dict[str, str]]:
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        mistakes.append(f"{path}: is not TOML ({problem}).")
        return {}
    for kind, sentences in list(given.items()):
        if not isinstance(sentences, dict) or not all(isinstance(text, str) for text in sentences.values()):
            mistakes.append(f'{path}: {kind} must be a table of sentences: [{kind}], then why = "…".')
            del given[kind]
    return given
