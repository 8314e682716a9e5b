"""PRV-09, PRV-11: the export is everything that is held about one customer, and about nobody else."""

import hashlib
import json

import jsonschema_rs

from identity_service import database_schema
from identity_service.privacy import actions as privacy
from identity_service.privacy import inventory
from identity_service.privacy.inventory import INVENTORY
from tests.life.filled import CANARY, fill
from tests.life.given import row_id, two_accounts

MAY_BE_EMPTY = {"consent_evidence", "inbound_mail", "feedback", "suppression"}


async def export(caller, user_id):
    answer = await caller.get(f"/v1/accounts/{user_id}/export")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_fits_the_published_schema(service, caller):
    """PRV-11: the file names its schema, and the schema is there."""
    filled = await fill(service, caller)
    found = await export(caller, filled.user_id)
    published = await service.http.get(found["schema"].removeprefix("https://id.example.com"))
    assert (published.status_code, published.headers["content-type"].split(";")[0]) == (200, "application/json")
    checker = jsonschema_rs.Draft202012Validator(published.json(), validate_formats=True)
    assert [problem.message for problem in checker.iter_errors(found)] == []


async def test_the_file_is_signed_and_a_changed_value_does_not_fit(service, caller, jose):
    """PRV-11: checked by jose with the published keys alone, and the hash made as the schema says."""
    user_id = (await fill(service, caller)).user_id
    found = await export(caller, user_id)
    expected = {"typ": privacy.EXPORT_TYPE, "issuer": service.database.settings.issuer}
    claims = (await jose(found["statement"], **expected))["claims"]
    assert (claims["sub"], claims["iat"]) == (user_id, int(service.clock().timestamp()))
    assert claims["tables_sha256"] == hashed(found["tables"])
    found["tables"]["account"][0]["display_name"] = "Somebody else"
    assert claims["tables_sha256"] != hashed(found["tables"])


def hashed(tables: dict) -> str:
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


async def test_a_table_more_or_a_column_less_does_not_fit(service, caller):
    user_id, _ = await two_accounts(caller)
    found = await export(caller, user_id)
    checker = jsonschema_rs.Draft202012Validator((await service.http.get("/static/export.schema.json")).json())
    found["tables"]["other"] = []
    assert not checker.is_valid(found)
    del found["tables"]["other"], found["tables"]["account"][0]["locale"]
    assert not checker.is_valid(found)


async def test_every_personal_and_fact_column_is_in_and_nothing_that_proves(service, caller):
    """PRV-09: a walk over the map; merged IDs included."""
    filled = await fill(service, caller)
    found = await export(caller, filled.user_id)
    assert found["user_ids"] == [filled.user_id, filled.merged]
    assert set(found["tables"]) == {*inventory.customer_tables(), "permission_check"}
    for name in inventory.customer_tables():
        assert found["tables"][name], f"{name} is empty, so nothing is proven of it"
        for row in found["tables"][name]:
            assert set(row) == set(INVENTORY[name].of("id", "fact", "personal"))


async def test_every_row_of_the_customer_is_in(service, caller):
    """PRV-09: counted table by table, while somebody else's rows stand beside them."""
    filled = await fill(service, caller)
    ids = [row_id(filled.user_id), row_id(filled.merged)]
    found = await export(caller, filled.user_id)
    for name in inventory.customer_tables():
        entry = INVENTORY[name]
        if entry.owner is not None:
            where = f"t.{entry.owner} = ANY(:ids)"
        else:
            column, parent = entry.through
            where = f"t.{column} IN (SELECT p.id FROM {parent} p WHERE p.{INVENTORY[parent].owner} = ANY(:ids))"
        ((count,),) = await service.rows(f"SELECT count(*) FROM {name} t WHERE {where}", ids=ids)
        told = count - 1 if name == "event" else count
        assert len(found["tables"][name]) == told, name


async def test_the_canary_is_in_every_column_that_it_was_put_in(service, caller):
    """What the customer said of himself comes back to him, word for word."""
    filled = await fill(service, caller)
    found = (await export(caller, filled.user_id))["tables"]
    for name, column in [
        ("account", "email"), ("account", "display_name"), ("business_period", "company_name"),
        ("business_period", "billing_address"), ("external_reference", "reference"), ("history_entry", "details"),
        ("consent_evidence", "text"), ("message", "recipient"), ("attempt", "reply"), ("inbound_mail", "detail"),
        ("email_change", "old_email"), ("pending_change", "reason"), ("passkey", "label"),
        ("further_address", "email"),
    ]:  # fmt: skip
        assert CANARY in json.dumps([row[column] for row in found[name]]).lower(), (name, column)


async def test_of_a_marketing_systems_question_he_sees_his_own_part(service, caller):
    """PRV-09: the recipients; not whom else they asked about."""
    anna, firm = await two_accounts(caller)
    await caller.post("/v1/marketing/permissions", {"purpose": "email", "user_ids": [anna, firm]})
    (asked,) = (await export(caller, anna))["tables"]["permission_check"]
    assert (asked["client_id"], asked["user_id"], asked["allowed"]) == (caller.client_id, anna, False)


async def test_nobody_elses_data_is_in(service, caller):
    """ATT-50: the row's owner decides."""
    filled = await fill(service, caller)
    anna, _ = await two_accounts(caller)
    text = json.dumps(await export(caller, anna))
    assert CANARY not in text.lower()
    assert row_id(filled.user_id) not in text


async def test_no_secret_is_in(service, caller):
    """No hash, nonce, sealed answer or key, in whatever form."""
    filled = await fill(service, caller)
    text = json.dumps(await export(caller, filled.user_id))
    for name, entry in INVENTORY.items():
        table = database_schema.METADATA.tables[name]
        for column in entry.of("proving", "kept"):
            if column in ("key_id", "subject") or not hasattr(table.c[column], "type"):
                continue
            for (value,) in await service.rows(f"SELECT {column} FROM {name} WHERE {column} IS NOT NULL"):
                shown = value.hex() if isinstance(value, bytes) else str(value)
                assert shown not in text, (name, column)


async def test_each_export_is_told_of(service, caller):
    """PRV-09: who asked, and when."""
    anna, _ = await two_accounts(caller)
    await export(caller, anna)
    rows = await service.rows("SELECT actor, user_id FROM event WHERE name = 'account.exported'")
    assert rows == [(f"client:{caller.client_id}", row_id(anna))]


async def test_it_needs_its_scope(service, caller):
    anna, _ = await two_accounts(caller)
    reader = await service.caller("accounts:read", name="reader")
    assert (await reader.get(f"/v1/accounts/{anna}/export")).json()["code"] == "missing_scope"
