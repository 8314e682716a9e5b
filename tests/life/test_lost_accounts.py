"""After a restore, accounts of the lost hour come back under the User IDs that their holders have."""

import json

import pytest

from identity_service.registration import restoration
from identity_service.values import user_ids
from tests.accounts.given import an_account
from tests.events.given import follow
from tests.life.given import account


def new_id() -> str:
    return user_ids.show(user_ids.issue())


async def restore(service, *lines: dict, source: str = "import", dry_run: bool = False) -> restoration.Restoration:
    return await restoration.restore_accounts(
        service.database, list(enumerate(lines, start=1)), source=source, dry_run=dry_run, now=service.clock()
    )


async def accounts(service) -> int:
    ((count,),) = await service.rows("SELECT count(*) FROM account")
    return count


async def test_an_account_of_a_services_list_has_its_own_id_again(service, caller):
    """REL-32: found by ID, by address and by the service's reference; what nobody proved is not confirmed."""
    lost = new_id()
    line = {"user_id": lost, "email": "anna@example.com", "reference": "17", "locale": "de", "display_name": "Anna"}
    done = await restore(service, line, source=caller.source)
    assert done == (1, 0, [])
    found = await account(caller, lost)
    assert (found["user_id"], found["email"], found["email_state"]) == (lost, "anna@example.com", "unconfirmed")
    assert (found["locale"], found["display_name"], found["external_refs"]) == ("de", "Anna", ["17"])
    assert (found["has_password"], set(found["marketing"].values())) == (False, {"never"})
    same = await caller.post("/v1/accounts", {"email": "anna@example.com"})
    assert (same.status_code, same.json()["user_id"]) == (200, lost)
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]
    await service.seal()
    told = [e for e in await follow(caller, "/v1/events") if e["type"] == "account.restored"]
    assert [(e["subject"], e["actor"], e["data"]) for e in told] == [(lost, "operator", {"by": "list"})]


@pytest.mark.parametrize("written", [str.lower, lambda shown: shown.replace("-", ""), lambda shown: f" {shown} "])
async def test_an_id_alone_is_enough_in_any_form(service, caller, written):
    lost = new_id()
    assert (await restore(service, {"user_id": written(lost), "email": "", "reference": None})).restored == 1
    assert (await account(caller, lost))["email"] is None


async def test_a_kept_feed_brings_back_what_is_missing_and_nothing_else(service, caller):
    here, lost, gone = await an_account(caller), new_id(), new_id()

    def event(kind: str, subject: str | None) -> dict:
        return {"specversion": "1.0", "type": kind, "subject": subject, "time": "2026-01-02T03:04:05Z", "data": {}}

    done = await restore(
        service, event("client.added", None), event("account.registered", here), event("account.registered", lost),
        event("mail.queued", lost), event("account.imported", gone), event("account.erased", gone),
    )  # fmt: skip
    assert done == (1, 2, [])
    assert (await account(caller, lost))["customer_since"] == "2026-01-02T03:04:05Z"
    assert (await caller.get(f"/v1/accounts/{gone}")).status_code == 404


async def test_what_cannot_be_followed_is_refused_by_line_and_the_others_are_restored(service, caller):
    here = await an_account(caller, email="anna@example.com", external_ref="17")
    erased = await an_account(caller)
    await caller.post(f"/v1/accounts/{erased}/erase")
    wrong = new_id()
    wrong = ("0" if wrong[0] != "0" else "1") + wrong[1:]
    good = new_id()
    lines = [
        {"user_id": here},
        {"user_id": erased},
        {"user_id": wrong},
        {"user_id": "XXXX"},
        {"email": "ben@example.com"},
        {"user_id": new_id(), "email": "ANNA@example.com"},
        {"user_id": new_id(), "email": "no address"},
        {"user_id": new_id(), "reference": "17"},
        {"user_id": new_id(), "colour": "red"},
        {"user_id": new_id(), "locale": "d!"},
        {"user_id": new_id(), "display_name": "two\nlines"},
        {"user_id": 17},
        {},
        {"specversion": "1.0", "type": "account.registered", "subject": None},
        {"user_id": good},
    ]
    before = await accounts(service)
    done = await restore(service, *lines, source=caller.source)
    assert [number for number, _ in done.refused] == list(range(1, len(lines)))
    assert (done.restored, await accounts(service)) == (1, before + 1)
    reasons = dict(done.refused)
    assert "has an account here" in reasons[1] == reasons[2]
    assert "check characters" in reasons[3]
    assert "already has this email address" in reasons[6]
    assert (await account(caller, good))["user_id"] == good


async def test_one_id_twice_is_restored_once(service):
    lost = new_id()
    done = await restore(service, {"user_id": lost}, {"user_id": lost})
    assert (done.restored, [number for number, _ in done.refused]) == (1, [2])


async def test_a_dry_run_says_the_same_and_writes_nothing(service, owner):
    lost = new_id()
    before = await service.rows("SELECT count(*) FROM event")
    assert await restore(service, {"user_id": lost}, {"user_id": "x"}, dry_run=True) == (1, 0, [(2, ANY_SENTENCE)])
    assert (await accounts(service), await service.rows("SELECT count(*) FROM event")) == (0, before)


class _AnySentence:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and len(other) > 10

    __hash__ = None


ANY_SENTENCE = _AnySentence()


@pytest.mark.parametrize("name", ["lost.csv", "lost.jsonl"])
async def test_the_command_reads_lists_and_says_what_it_did(command, service, tmp_path, name):
    """An interrupted list can be given again: what is here is refused, the rest restored."""
    ids, file = [new_id() for _ in range(3)], tmp_path / name
    rows = [{"user_id": one, "email": f"a{number}@example.com"} for number, one in enumerate(ids)]
    if name.endswith("csv"):
        file.write_text("user_id,email\n" + "".join(f"{row['user_id']},{row['email']}\n" for row in rows))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n")
    ran = await command("recover-accounts", str(file), "--json")
    done = json.loads(ran.out)
    assert (done["restored"], ran.status) == (3, 0 if name.endswith("csv") else 1), ran.err
    again = json.loads((await command("recover-accounts", str(file), "--json")).out)
    assert (again["restored"], len(again["refused"])) == (0, len(done["refused"]) + 3)


async def test_references_come_back_only_under_the_source_that_knows_them(command, service, caller, tmp_path):
    """The command asks for the source; then the service finds its customer, and registers no second one."""
    lost, file = new_id(), tmp_path / "lost.csv"
    file.write_text(f"user_id,reference\n{lost},LR-77\n")
    refused = await command("recover-accounts", str(file))
    assert (refused.status, "--source" in refused.err) == (2, True)
    assert await accounts(service) == 0
    done = await command("recover-accounts", str(file), "--source", caller.source)
    assert done.status == 0, done.err
    same = await caller.post("/v1/accounts", {"external_ref": "LR-77"})
    assert (same.status_code, same.json()["user_id"]) == (200, lost)
