"""Rules of security that the source itself answers: each yields a sentence for every violation."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.source import Module, called, enclosing, frameworks

_SQL_CALLS = {"text", "execute", "executemany", "exec_driver_sql", "scalar", "scalars", "fetch", "fetchval", "fetchrow"}
SQL_FROM_PARTS = {
    ("database_schema", "_grant"): "GRANT takes no parameters; the role is quoted, tables are ours",
    ("messages.delivery.sender", "_count"): "the condition is one of two literals in the same file",
    ("dev.postgres", "prepare"): "CREATE and ALTER take no parameters; development only, names are ours",
}
"""Statements that are put together: each by a function that says why it may."""

_BANNED_BUILTINS = {"eval", "exec", "compile", "__import__", "Markup"}
_BANNED_METHODS = {"system", "popen", "create_subprocess_shell", "create_subprocess_exec"}
_BANNED_IMPORTS = {"pickle", "marshal", "shelve", "dill", "subprocess", "yaml", "markupsafe", "commands", "telnetlib"}
OWN_PROCESSES = {("brands.logos", "_clean_png"): "decodes a picture under limits; the picture is no argument"}
"""Other programs that are started: each by a function that says why it may. Its arguments stand in the source."""
JITTER = {"messages.delivery.sender", "messages.delivery.queue", "messages.delivery.relays"}
"""Who may import `random`: for the jitter of waiting times, which nobody has to be unable to guess."""

CRYPTO = {
    "clients.actions": {"joserfc.ECKey", "joserfc.KeySet", "joserfc.OKPKey"},
    "clients.oauth": {"joserfc.KeySet"},
    "brands.proofs": {"hashlib.sha256"},
    "cli.audit": {"joserfc.ECKey", "joserfc.OKPKey"},
    "cli.imports": {"hashlib.file_digest", "hashlib.sha256"},
    "console.actions": {"cryptography.InvalidTag"},
    "consents.actions": {"hashlib.sha256"},
    "consents.audit": {"hashlib.sha256"},
    "consents.receipts": {"hashlib.sha256"},
    "consents.wordings": {"hashlib.sha256"},
    "account_access.actions": {"hashlib.sha256"},
    "events.rules": {"hashlib.sha256"},
    "key_store.actions": {"cryptography.AESGCM", "cryptography.HKDF", "cryptography.InvalidTag", "cryptography.SHA256",
                "joserfc.ECKey", "joserfc.OKPKey", "joserfc.RSAKey"},
    "openid.logout": {"cryptography.InvalidTag"},
    "registration.new_accounts": {"cryptography.InvalidTag"},
    "resets.choosing": {"cryptography.InvalidTag"},
    "openid.requests": {"hmac.compare_digest"},
    "openid.tokens": {"hashlib.sha256", "hmac.compare_digest"},
    "privacy.actions": {"hashlib.sha256"},
    "dev.phone": {"hmac.compare_digest", "hmac.digest"},
    "messages.carriers.generic": {"hmac.compare_digest", "hmac.digest"},
    "messages.carriers.sinch": {"hmac.compare_digest", "hmac.digest"},
    "messages.carriers.twilio": {"hmac.compare_digest", "hmac.digest"},
    "messages.inbound.dsn": {"hashlib.sha256"},
    "messages.inbound.feedback": {"hashlib.sha256"},
    "messages.inbound.providers.mailgun": {"hashlib.sha256", "hmac.compare_digest", "hmac.new"},
    "messages.inbound.providers.resend": {"hmac.compare_digest"},
    "messages.inbound.providers.sendgrid": {"cryptography.InvalidSignature", "cryptography.ec", "cryptography.hashes",
                "cryptography.load_der_public_key"},
    "messages.inbound.sns": {"cryptography.InvalidSignature", "cryptography.NameOID", "cryptography.hashes",
                "cryptography.padding", "cryptography.rsa", "cryptography.x509"},
    "messages.inbound.webhooks": {"hmac.compare_digest"},
    "keys.known_browsers": {"hmac.compare_digest"},
    "credentials.actions": {"hmac.compare_digest"},
    "addresses.further": {"hmac.compare_digest"},
    "merges.undo": {"hmac.compare_digest"},
    "messages.rendering": {"hmac.compare_digest"},
    "messages.words": {"hashlib.sha256"},
    "web.forms": {"hmac.compare_digest"},
    "passwords.breaches": {"hashlib.sha1"},
    "passwords.dummies": {"hashlib.sha256"},
    "passwords.legacy_schemes": {"cryptography.Cipher", "cryptography.algorithms", "cryptography.modes",
                "hashlib.pbkdf2_hmac", "hashlib.scrypt", "hashlib.sha256", "hmac.compare_digest", "hmac.digest"},
    "passwords.hashing": {"argon2.Parameters", "argon2.PasswordHasher", "argon2.Type"},
    "one_time_tokens.rules": {"hmac.compare_digest"},
    "keys.hashing": {"hashlib.sha256", "hmac.digest"},
    "keys.ring": {"cryptography.AESGCM", "cryptography.InvalidTag"},
    "keys.signing": {"joserfc.ECKey", "joserfc.OKPKey", "joserfc.RSAKey", "joserfc.jws", "joserfc.jwt"},
    "web.pages": {"hashlib.sha256"},
    "web.pagination": {"hmac.compare_digest"},
    "web.streams": {"hashlib.sha256"},
}  # fmt: skip
"""The inventory of cryptography (ASVS 11.1.3): what each file uses of it."""

CHECKSUMS = {
    ("consents.actions", "store_wording"): "what a customer was asked with is public",
    ("consents.audit", "_texts"): "the auditor reads both sides",
    ("consents.audit", "_entry"): "the auditor reads both sides",
    ("brands.logos", "clean_svg"): "the tag is the name of an element",
}
"""Hashes and tags of what is no secret, compared in any time: each by a function that says why it may."""

_SECRET = re.compile(r"(^|_)(hash|hashed|mac|hmac|digest|signature|tag|secret|token|password|code_hash|key_bytes)$")
_PLAIN_TEXT_EMAILS = ("messages.rendering", "_TEXT")


def sql(modules: Sequence[Module]) -> Iterator[str]:
    """Statements that are put together from parts; names of constants aside."""
    for module in modules:
        for call in module.calls():
            if (
                called(call) not in _SQL_CALLS
                or not call.args
                or (module.name, enclosing(module, call)) in SQL_FROM_PARTS
            ):
                continue
            if _is_built(call.args[0], named=called(call) == "text"):
                yield f"{module.path}:{call.lineno}: values go into a statement as parameters"


def _is_built(value: ast.expr, *, named: bool) -> bool:
    if isinstance(value, ast.JoinedStr):
        return not all(_is_constant(part.value) for part in value.values if isinstance(part, ast.FormattedValue))
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.Mod) or (_holds_text(value) and isinstance(value.op, ast.Add))
    if isinstance(value, ast.Call):
        return called(value) in ("format", "join", "replace", "format_map") or (named and called(value) != "text")
    return named and isinstance(value, ast.Name) and not _is_constant(value)


def _is_constant(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and called(value) == "join" and isinstance(value.func, ast.Attribute):
        return isinstance(value.func.value, ast.Constant) and all(map(_is_constant, value.args))
    return _last_name(value).isupper() and isinstance(value, ast.Name | ast.Attribute)


def _holds_text(value: ast.expr) -> bool:
    return any(
        isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        for node in ast.walk(value)
    )


def dangerous_calls(modules: Sequence[Module]) -> Iterator[str]:
    """Code from data, other programs, and formats that carry code."""
    for module in modules:
        starts = {"subprocess"} if module.name in {name for name, _ in OWN_PROCESSES} else set()
        for name in sorted(frameworks(module) & _BANNED_IMPORTS - starts):
            yield f"{module.path}: {name} runs what it reads"
        for call in module.calls():
            if ast.unparse(call.func).startswith("subprocess.") and not _is_own_process(module, call):
                yield f"{module.path}:{call.lineno}: what is started here is not ours alone"
            banned = _BANNED_BUILTINS if isinstance(call.func, ast.Name) else _BANNED_METHODS
            if called(call) in banned:
                yield f"{module.path}:{call.lineno}: {called(call)}() is banned"
            if any(keyword.arg == "shell" for keyword in call.keywords):
                yield f"{module.path}:{call.lineno}: no shell"


def _is_own_process(module: Module, call: ast.Call) -> bool:
    """Return whether a call is one of ours, of this interpreter, with literals alone as its arguments."""
    command = call.args[0] if call.args else None
    if (module.name, enclosing(module, call)) not in OWN_PROCESSES or not isinstance(command, ast.List):
        return False
    program, *arguments = command.elts
    return ast.unparse(program) == "sys.executable" and all(isinstance(one, ast.Constant) for one in arguments)


def patterns(modules: Sequence[Module]) -> Iterator[str]:
    """Regular expressions that a function makes from what it was given: a caller's text is no pattern."""
    for module in modules:
        for call in module.calls():
            function = call.func
            if not isinstance(function, ast.Attribute) or not call.args:
                continue
            of_re = isinstance(function.value, ast.Name) and function.value.id == "re" and function.attr != "escape"
            if of_re and enclosing(module, call):
                pattern = call.args[0]
                escaped = isinstance(pattern, ast.Call) and ast.unparse(pattern.func) == "re.escape"
                if not isinstance(pattern, ast.Constant) and not escaped:
                    yield f"{module.path}:{call.lineno}: a pattern is a literal, or escaped"


def randomness(modules: Sequence[Module]) -> Iterator[str]:
    """Who imports `random` without being on the list; and identifiers that tell time and machine."""
    for module in modules:
        if "random" in frameworks(module) and module.name not in JITTER:
            yield f"{module.path}: what is drawn here comes from `secrets`"
        for call in module.calls():
            if called(call) in ("uuid1", "SystemRandom", "getnode"):
                yield f"{module.path}:{call.lineno}: {called(call)}() tells more than it should"


def cryptography(module: Module) -> set[str]:
    """Return what a file uses of the libraries of cryptography, as `library.name`."""
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            top = (node.module or "").split(".", maxsplit=1)[0]
            if top in ("cryptography", "joserfc", "argon2", "hashlib", "hmac", "nacl", "Crypto", "ssl"):
                found |= {f"{top}.{alias.name}" for alias in node.names if not alias.name.endswith("Error")}
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("hashlib", "hmac")
        ):
            found.add(f"{node.value.id}.{node.attr}")
    return found


def inventory(modules: Sequence[Module]) -> Iterator[str]:
    """Cryptography that the inventory does not know, or that is no longer used."""
    for module in modules:
        known, used = CRYPTO.get(module.name, set()), cryptography(module)
        for name in sorted(used ^ known):
            yield f"{module.path}: {name} is {'used but not in' if name in used else 'gone but still in'} the inventory"


def comparisons(modules: Sequence[Module]) -> Iterator[str]:
    """`==` on what must be compared in constant time. A column compared in a query is the database's work."""
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = [node.left, *node.comparators]
                if any(_is_column(side) or isinstance(side, ast.Constant) for side in sides):
                    continue
                if (module.name, enclosing(module, node)) in CHECKSUMS:
                    continue
                if any(_SECRET.search(_last_name(side)) for side in sides):
                    yield f"{module.path}:{node.lineno}: hmac.compare_digest, not =="


def _is_column(value: ast.expr) -> bool:
    return isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id[:1].isupper()


def _last_name(value: ast.expr) -> str:
    if isinstance(value, ast.Await):
        value = value.value
    if isinstance(value, ast.Call):
        value = value.func
    return value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")


def escaping(modules: Sequence[Module]) -> Iterator[str]:
    """Template environments that do not escape; the plain text of letters has nothing to escape."""
    for module in modules:
        plain = {
            id(node.value)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Assign) and (module.name, ast.unparse(node.targets[0])) == _PLAIN_TEXT_EMAILS
        }
        for call in module.calls():
            if called(call) in ("Environment", "SandboxedEnvironment", "Jinja2Templates", "Template", "from_string"):
                given = {keyword.arg: keyword.value for keyword in call.keywords}.get("autoescape")
                on = isinstance(given, ast.Constant) and given.value is True
                if not on and id(call) not in plain:
                    yield f"{module.path}:{call.lineno}: autoescape=True, and templates come from files"


_IN_TEMPLATE = {
    r"\|\s*safe\b": "nothing is marked as safe",
    r"autoescape\s+false": "escaping stays on",
    r"<script(?![^>]*\bsrc=)": "scripts stand in files",
    r"<script[^>]*\bsrc=[\"']?(https?:)?//": "nothing comes from elsewhere",
    r"\son[a-z]+\s*=": "no code in attributes",
    r"javascript:": "no code in links",
    r"<(img|iframe|link|form)[^>]*(src|href|action)=[\"']?(https?:)?//": "nothing comes from elsewhere",
}
_IN_SCRIPT = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|__proto__|XMLHttpRequest"


def templates(files: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Templates and scripts, as (path, text), that let data become code or load something from elsewhere."""
    for path, text in files:
        if Path(path).suffix == ".js":
            for found in re.findall(_IN_SCRIPT, text):
                yield f"{path}: {found} turns text into code"
        elif Path(path).suffix == ".html":
            for pattern, sentence in _IN_TEMPLATE.items():
                if re.search(pattern, text, re.IGNORECASE):
                    yield f"{path}: {sentence}"
