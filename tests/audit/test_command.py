"""`identity-service audit`: what it prints, and the exit status that a scheduler looks at."""

import json

from tests.audit.given import BY_POSITION, EVENTS, a_feed, forge
from tests.audit.test_checkpoints import cut
from tests.consents.given import a_customer
from tests.console.given import a_clerk, an_account


async def test_a_clean_database_passes(service, command):
    await a_feed(service)
    ended = await command("audit")
    assert ended.status == 0, ended.err
    assert ended.out == f"{EVENTS} events, 3 checkpoints, 0 consent entries: nothing altered.\n"


async def test_json_is_json_and_nothing_else_is_said(service, caller, command):
    """The progress bar is for people, and stands on standard error."""
    customer = await a_customer(caller, service)
    await customer.grants()
    while await service.seal():
        pass
    ended = await command("audit", "--json", FORCE_COLOR="1")
    assert (ended.status, ended.err) == (0, "")
    assert ended.json == {
        "events": ended.json["events"],
        "checkpoints": 0,
        "consents": 1,
        "finding": None,
        "explained": [],
    }
    assert ended.json["events"] > 5


async def test_progress_does_not_touch_standard_output(service, command):
    await a_feed(service)
    ended = await command("audit", FORCE_COLOR="1", TERM="xterm")
    assert ended.out.count("\n") == 1
    assert "\x1b" not in ended.out


async def test_the_first_bad_row_is_named_and_the_status_is_1(service, owner, command):
    """AUD-03."""
    await a_feed(service)
    await forge(owner, f"UPDATE event SET actor = 'x' WHERE id = {BY_POSITION.format(7)}")
    ended = await command("audit")
    sentence = "The seal of position 7 does not match: this event, or one before it, was altered."
    assert (ended.status, ended.out) == (1, f"{sentence}\n")
    as_json = await command("audit", "--json")
    assert (as_json.status, as_json.json["finding"]) == (1, {"position": 7, "sentence": sentence})


async def test_a_bad_entry_of_the_ledger_is_named(service, caller, owner, command):
    """AUD-03."""
    customer = await a_customer(caller, service)
    await customer.grants()
    await forge(owner, "UPDATE consent_entry SET actor = 'client:x'")
    ended = await command("audit")
    assert ended.status == 1
    assert "Consent entry" in ended.out
    assert "was altered" in ended.out


async def test_checkpoints_kept_elsewhere_find_what_the_database_forgot(service, owner, command, tmp_path):
    """AUD-04: as they come from `/v1/audit/checkpoints`, one a line."""
    await a_feed(service)
    heads = tmp_path / "heads"
    published = (await service.http.get("/v1/audit/checkpoints")).json()["items"]
    heads.write_text("\n".join(head["statement"] for head in published) + "\n\n")
    assert (await command("audit", "--heads", str(heads))).status == 0
    await forge(owner, *cut(15, forget=True))
    assert (await command("audit")).status == 0
    ended = await command("audit", "--heads", str(heads), "--json")
    assert (ended.status, json.loads(ended.out)["finding"]["position"]) == (1, 16)


async def test_a_file_that_is_not_there_is_wrong_usage(service, command, tmp_path):
    ended = await command("audit", "--heads", str(tmp_path / "nowhere"))
    assert (ended.status, ended.out) == (2, "")
    assert "database" not in ended.err


async def test_a_database_that_is_away_is_told_as_such(command):
    ended = await command("audit", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert (ended.status, ended.err.strip()) == (1, "The database does not answer.")


async def test_an_altered_look_at_an_account_is_named(service, caller, owner, command):
    """AUD-03: why a clerk opened an account cannot be made nicer afterwards."""
    await (await a_clerk(service)).open_account(await an_account(caller), reason="curious")
    await forge(owner, "UPDATE account_access SET reason = 'order arrived broken'")
    ended = await command("audit")
    assert ended.status == 1
    assert "The account access" in ended.out
