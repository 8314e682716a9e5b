"""What security asks of the source itself holds; each rule is seen to find a planted violation."""

import re

import pytest

from tests import static_rules
from tests.source import FOLDER, ROOT, modules, with_planted

RULES = {
    "sql": static_rules.sql,
    "dangerous_calls": static_rules.dangerous_calls,
    "patterns": static_rules.patterns,
    "randomness": static_rules.randomness,
    "inventory": static_rules.inventory,
    "comparisons": static_rules.comparisons,
    "escaping": static_rules.escaping,
}

PLANTS = [
    ("sql", "s.execute(text(f'SELECT {name}'))"),
    ("sql", "text('SELECT %s' % name)"),
    ("sql", "text('SELECT ' + name)"),
    ("sql", "text('SELECT {}'.format(name))"),
    ("sql", "text(statement)"),
    ("sql", "text(' '.join(parts))"),
    ("sql", "connection.fetch(f'SELECT {name}')"),
    ("sql", "connection.exec_driver_sql('SELECT ' + name)"),
    ("sql", "session.scalar('SELECT ' + name)"),
    ("dangerous_calls", "eval('1')"),
    ("dangerous_calls", "import os\nos.system('ls')"),
    ("dangerous_calls", "import subprocess"),
    ("dangerous_calls", "subprocess.run([sys.executable, '-c', 'pass'])"),
    ("dangerous_calls", "from pickle import loads"),
    ("dangerous_calls", "from markupsafe import Markup"),
    ("dangerous_calls", "create_subprocess(command, shell=True)"),
    ("patterns", "import re\ndef f(given): return re.compile(given)"),
    ("patterns", "import re\ndef f(given): return re.sub(f'^{given}$', '', text)"),
    ("randomness", "import random"),
    ("randomness", "from random import choice"),
    ("randomness", "import uuid\nuuid.uuid1()"),
    ("inventory", "import hashlib\nhashlib.sha256(b'')"),
    ("inventory", "import hashlib\nhashlib.md5(b'')"),
    ("inventory", "from cryptography.fernet import Fernet"),
    ("inventory", "from hashlib import sha1"),
    ("comparisons", "given_hash == row.secret_hash"),
    ("comparisons", "tokens.keyed_hash(key, 'x') != given"),
    ("comparisons", "if message.tag == given: pass"),
    ("comparisons", "hmac.digest(k, m, 'sha256') == other"),
    ("escaping", "Environment(loader=loader)"),
    ("escaping", "Environment(autoescape=False)"),
    ("escaping", "_TEXT = SandboxedEnvironment(autoescape=False)"),
    ("escaping", "environment.from_string(given)"),
]


@pytest.mark.parametrize("rule", RULES)
def test_the_source_keeps_the_rule(rule):
    """ASVS 1.1.2, 1.2.3, 1.2.4, 1.2.5, 1.2.9, 1.3.2, 1.3.10, 1.5.2, 6.5.3, 11.1.3, 11.2.1, 11.2.4, 11.3.1, 11.3.2,
    11.3.5, 11.4.1: asked of every file of the product.
    """
    assert list(RULES[rule](modules())) == []


@pytest.mark.parametrize(("rule", "code"), PLANTS, ids=[f"{rule}: {code[-40:]!r}" for rule, code in PLANTS])
def test_a_planted_violation_is_found(rule, code):
    found = list(RULES[rule](with_planted("merges/more.py", code)))
    assert [sentence.split(":")[0] for sentence in found] == ["merges/more.py"] * len(found)
    assert found != []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("sql", "text('SELECT 1')"),
        ("sql", "text(f'SELECT {COLUMNS} FROM account WHERE id = :id')"),
        ("sql", "session.execute(statement, {'id': user_id})"),
        ("sql", "session.scalar(select(Feed.id) if one else two)"),
        ("patterns", "import re\ndef f(given): return re.sub(re.escape(given), '', text)"),
        ("patterns", "import re\nALL = re.compile(f'[{ALPHABET}]')"),
        ("dangerous_calls", "import re\nre.compile('a')"),
        ("comparisons", "select(Secret).where(Secret.secret_hash == given_hash)"),
        ("comparisons", "hmac.compare_digest(tag, given)"),
        ("escaping", "Environment(loader=loader, autoescape=True)"),
    ],
)
def test_what_is_right_passes(rule, code):
    assert list(RULES[rule](with_planted("merges/more.py", code))) == []


def test_every_exception_is_still_needed():
    """A reason whose case is gone would cover the next one."""
    exceptions = static_rules.SQL_FROM_PARTS.copy()
    static_rules.SQL_FROM_PARTS.clear()
    try:
        found = list(static_rules.sql(modules()))
    finally:
        static_rules.SQL_FROM_PARTS.update(exceptions)
    paths = {sentence.split(":")[0].removesuffix(".py").replace("/", ".") for sentence in found}
    assert paths == {name for name, _ in exceptions}
    users = {module.name for module in modules() if "random" in static_rules.frameworks(module)}
    assert users == static_rules.JITTER
    starters = {module.name for module in modules() if "subprocess" in static_rules.frameworks(module)}
    assert starters == {name for name, _ in static_rules.OWN_PROCESSES}


FILES = [
    (str(path.relative_to(FOLDER)), path.read_text("utf-8"))
    for folder in ("templates", "static")
    for path in sorted((FOLDER / folder).rglob("*.*"))
]


def test_templates_and_scripts_let_no_data_become_code():
    """ASVS 1.1.2, 1.2.3, 3.2.2, 3.2.3, 3.5.7, 3.7.1, 15.3.6: and nothing is loaded from elsewhere."""
    assert {"templates/page.html", "static/style.css"} <= {path for path, _ in FILES}
    assert list(static_rules.templates(FILES)) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.html", "{{ name|safe }}"),
        ("a.html", "{{ name | safe }}"),
        ("a.html", "{% autoescape false %}"),
        ("a.html", "<script>x</script>"),
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<a onclick="x()">'),
        ("a.html", '<a href="javascript:x()">'),
        ("a.html", '<img alt="" src="//pixel.example/1">'),
        ("a.js", "node.innerHTML = text"),
        ("a.js", "eval(text)"),
    ],
)
def test_a_planted_template_is_found(path, text):
    assert list(static_rules.templates([(path, text)])) != []


def test_a_script_from_here_passes():
    """Pages may be made live by files of our own."""
    assert list(static_rules.templates([("a.html", '<script src="/static/live.js" defer></script>')])) == []


LOCKS = [
    *(ROOT / "requirements").glob("*.txt"),
    ROOT / ".ci/node/package-lock.json",
    *(path for path in (ROOT / "tests").rglob("package-lock.json") if "node_modules" not in path.parts),
]
# An option of pip, a package's address, or where npm found it; who funds a package stands in quotes.
FROM_SOMEWHERE = re.compile(r'(?m)^-.*$|^[^"\n]*://.*$|^.*"resolved".*$')


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_names_versions_and_hashes_and_no_place_to_get_them(lock):
    assert FROM_SOMEWHERE.findall(lock.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line", ["--index-url x", "-i x", "a @ https://index.example/a.whl", '"resolved": "https://index.example/a.tgz",']
)
def test_a_planted_place_is_found(line):
    assert FROM_SOMEWHERE.findall(f'a==1 \\\n    --hash=sha256:0\n{line}\n"url": "https://funding.example"\n') == [line]
