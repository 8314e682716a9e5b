"""Alert rules and the dashboard: every metric they ask for is told, and alerts fire when they must."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from identity_service import metrics
from identity_service.database.transactions import Database
from identity_service.messages import heartbeat
from identity_service.passwords.hashing import Hasher
from identity_service.settings import Settings
from tests.source import ROOT

RULES = ROOT / "deploy/prometheus/rules.yml"
CASES = ROOT / "tests/deploy/rules_test.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/identity-service.json").read_text("utf-8"))
ALERTS = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
}
EXPRESSIONS = [rule["expr"] for rule in ALERTS.values()] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
PROMTOOL = shutil.which("promtool")
RUNBOOK = (ROOT / "docs/runbook.md").read_text("utf-8")


def asked_for(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:identity|process)_[a-z_]+", expression))


async def exposed(service, caller) -> str:
    """/metrics after a little of everything has happened."""
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    await service.deliver()
    await service.database.in_transaction(lambda s: heartbeat.beat(s, service.sender(), service.clock()))
    return (await service.http.get("/metrics")).text


async def told(service, caller) -> set[str]:
    """Every name in /metrics."""
    return set(re.findall(r"(?m)^([a-z_]+)[{ ]", await exposed(service, caller)))


def of_security_txt() -> str:
    """Told only where the operator has set the day."""
    settings = Settings(security_contact_expires="2027-01-01", environment="development", insecure_fast_hashing=True)
    hasher = Hasher(settings)
    text = metrics.Metrics(Database(settings, "postgresql://nobody@localhost/none"), hasher).exposition(None).decode()
    hasher.close()
    return re.findall(r"(?m)^(identity_security\S+) 1", text)[0]


async def test_every_metric_that_is_asked_for_is_told(service, caller):
    known = await told(service, caller) | {of_security_txt()}
    asked = set().union(*map(asked_for, EXPRESSIONS))
    assert asked - known == set()


async def test_every_label_that_is_asked_for_is_told(service, caller):
    """An alert on a label that no metric has never fires, and a panel by such a label draws one line of many."""
    text = await exposed(service, caller)
    samples = re.findall(r"(?m)^([a-z_]+)\{([^}]*)\}", text)
    labels: dict[str, set[str]] = {}
    for name, pairs in samples:
        labels.setdefault(name, {"instance"}).update(re.findall(r'(\w+)="', pairs))
    wrong = []
    for expression in EXPRESSIONS:
        for name, chosen in re.findall(r"\b(identity_[a-z_]+)\{([^}]*)\}", expression):
            wrong += [(expression, one) for one in re.findall(r'(\w+)[=!]~?"', chosen) if one not in labels[name]]
        known = {"instance"}.union(*(labels.get(name, set()) for name in asked_for(expression)))
        by = ",".join(re.findall(r"by \(([^)]*)\)", expression))
        wrong += [(expression, one) for one in re.split(r"[, ]+", by) if one and one not in known]
    assert wrong == []


async def test_every_metric_of_ours_is_looked_at(service, caller):
    """A number that nobody alerts on and nobody draws is not needed."""
    parts = re.compile("_(total|bucket|count|sum|created)$")
    ours = {parts.sub("", name) for name in await told(service, caller)}
    looked_at = {parts.sub("", name) for expression in EXPRESSIONS for name in asked_for(expression)}
    assert {name for name in ours if name.startswith("identity_")} - looked_at == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_is_wrong_how_urgent_it_is_and_stands_in_the_runbook(alert):
    assert ALERTS[alert]["annotations"]["summary"].endswith(".")
    assert ALERTS[alert]["labels"]["severity"] in ("page", "ticket")
    assert f"`{alert}`" in RUNBOOK


def test_every_alert_has_a_case():
    said = CASES.read_text("utf-8")
    assert [alert for alert in ALERTS if f"alertname: {alert}}}" not in said] == []


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_the_rules_right_and_they_fire_when_they_must(tmp_path):
    subprocess.run([PROMTOOL, "check", "rules", RULES], check=True, capture_output=True)
    (tmp_path / "cases.yml").write_text(CASES.read_text("utf-8").replace("RULES", str(RULES)), "utf-8")
    ran = subprocess.run(
        [PROMTOOL, "test", "rules", tmp_path / "cases.yml"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboard_is_whole():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(panels)
    assert {p["datasource"]["uid"] for p in panels} == {"${prometheus}"}
