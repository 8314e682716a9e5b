"""What a customer reads of himself beyond his card: amounts, kinds and headings are in his language."""

import html
import re

import pytest

from identity_service.account_access import actions as account_access
from identity_service.privacy.inventory import TITLES
from tests.consents.given import Customer, a_customer

SENTENCES = {
    "en": {
        "/me": (
            "2 orders", "€1,200.00", "Business account: Ärger & Söhne", "viewed by our support team (business): A call",
        ),
        "/me/history": ("€1,299.90", "-€99.90", "¥1,500", "order", "support request closed", "delivery"),
        "/me/business": ("<h1>Change company details</h1>", 'value="Ärger & Söhne"'),
        "/me/everything": ("Attempts to send them", "When this was a business account"),
    },
    "de": {
        "/me": (
            "2 Bestellungen", "1.200,00 €", "Geschäftskonto: Ärger & Söhne",
            "angesehen vom Kundenservice (business): A call",
        ),
        "/me/history": ("1.299,90 €", "-99,90 €", "1.500 ¥", "Bestellung", "Anfrage erledigt", "delivery"),
        "/me/business": ("<h1>Firmenangaben ändern</h1>", 'value="Ärger & Söhne"'),
        "/me/everything": ("Versuche, sie zu senden", "Zeiten als Geschäftskonto"),
    },
}  # fmt: skip
HISTORY = (
    ("order", "1299.90", "EUR"), ("refund", "99.9", "EUR"), ("order", "1500", "JPY"),
    ("ticket_closed", None, None), ("delivery", None, None),
)  # fmt: skip


async def a_business(caller, service, locale: str) -> Customer:
    """A customer who has become a business, has ordered, and was looked at by a desk."""
    anna = await a_customer(caller, service, locale=locale)
    entries = [
        {"reference": f"{kind}-{number}", "kind": kind, "occurred_at": "2026-02-03T10:00:00Z",
         **({"amount": amount, "currency": currency} if amount else {})}
        for number, (kind, amount, currency) in enumerate(HISTORY)
    ]  # fmt: skip
    added = await caller.post(f"/v1/accounts/{anna.user_id}/history", {"entries": entries})
    assert added.is_success, added.text
    await service.database.in_transaction(lambda session: looked(session, anna, service))
    await anna.sign_in()
    await anna.browser.open("/me/business")
    company = dict.fromkeys(("vat_number", "registration_number", "contact_person", "billing_address"), "")
    await anna.browser.send("/me/business", company_name="Ärger & Söhne", country="at", **company)
    assert anna.browser.page.url.path == "/me", anna.browser.text
    return anna


async def looked(session, anna: Customer, service) -> None:
    user_id = anna.user_id.replace("-", "")
    said = {"desk": "business", "contact": "K7QX3W", "reason": "A call"}
    await account_access.record_access(session, user_id, actor="staff:1", now=service.clock(), **said)


@pytest.mark.parametrize("locale", SENTENCES)
async def test_a_customer_reads_of_himself_in_his_language(caller, service, locale: str):
    anna = await a_business(caller, service, locale)
    for path, sentences in SENTENCES[locale].items():
        page = html.unescape((await anna.browser.open(path)).text).replace("\N{NO-BREAK SPACE}", " ")
        assert [said for said in sentences if said not in page] == [], path


async def test_what_is_held_opens_table_by_table_and_names_no_table(caller, service):
    """The first is open; without scripts, a press opens another."""
    anna = await a_business(caller, service, "en")
    page = (await anna.browser.open("/me/everything")).text
    headings = re.findall(r"<summary><h2>([^<]+)</h2>", page)
    assert headings[0] == "Account"
    assert set(headings) <= set(TITLES.values())
    assert {"History", "Emails and text messages", "Attempts to send them", "Links and codes"} <= set(headings)
    assert page.count("<details open>") == 1


async def test_what_is_held_is_told_in_words_and_the_rest_by_the_names_of_the_file(caller, service):
    anna = await a_business(caller, service, "de")
    page = re.sub(r"\s+", " ", (await anna.browser.open("/me/everything")).text)
    assert f"<dt>Kundennummer</dt><dd>{anna.user_id}</dd>" in page
    assert re.search(r'<dt>Bei uns seit</dt><dd><time datetime="\d{4}-[^"]+">\d+\.', page)
    words, _, rest = page.partition("<summary>Technische Einzelheiten</summary>")
    assert '<dt lang="en">' not in words
    assert '<dt lang="en">email_key</dt>' in rest
    exported = (await anna.browser.send("/me/export")).json()
    assert "email_key" in exported["tables"]["account"][0]


async def test_a_private_customer_without_a_history_reads_that_there_is_none(caller, service):
    anna = await a_customer(caller, service, locale="de")
    await anna.sign_in()
    assert "Noch nichts." in (await anna.browser.open("/me/history")).text
    assert "<h1>Auf Geschäftskonto umstellen</h1>" in (await anna.browser.open("/me/business")).text
    assert "Niemand in unserem Kundenservice hat Ihr Konto geöffnet." in (await anna.browser.open("/me")).text


COMPANY = dict.fromkeys(("vat_number", "registration_number", "contact_person", "billing_address"), "")


@pytest.mark.parametrize(("field", "value", "said"), [
    ("vat_number", "DE1", "VAT number: "), ("registration_number", "HRB", "Registration number: "),
])  # fmt: skip
async def test_a_refused_company_names_and_marks_the_field(caller, service, field, value, said):
    anna = await a_business(caller, service, "en")
    await anna.browser.open("/me/business")
    given = {**COMPANY, "company_name": "Berg", "country": "DE", field: value}
    page = (await anna.browser.send("/me/business", **given)).text
    assert said in anna.browser.text
    assert re.findall(r'id="(\w+)"[^>]*aria-invalid="true" aria-describedby="refused"', page) == [field]
    assert "<h1>Change company details</h1>" in page
    assert 'href="/me/consumer"' in page


async def test_the_company_is_shown_changed_back_after_a_question_and_remembered(caller, service):
    anna = await a_business(caller, service, "en")
    await anna.browser.open("/me/business")
    given = {**COMPANY, "company_name": "Berg", "country": "DK", "vat_number": "13585628"}
    await anna.browser.send("/me/business", **given)
    assert all(said in anna.browser.text for said in ("We've saved your change.", "Denmark", "DK13585628"))
    page = await anna.browser.open("/me/consumer")
    assert "You'll keep your history." in anna.browser.text
    await anna.browser.send("/me/consumer")
    assert "Private account." in anna.browser.text
    page = (await anna.browser.open("/me/business")).text
    assert 'value="DK13585628"' in page
    assert "<h1>Convert to a business account</h1>" in page


async def test_a_password_is_asked_for_with_one_press(caller, service):
    anna = await a_customer(caller, service)
    await anna.sign_in()
    await anna.browser.open("/me")
    assert f"We'll email a link for it to {anna.email}." in anna.browser.text
    await anna.browser.send("/me/password")
    assert anna.browser.page.url.path.startswith("/reset/")
    await service.deliver()
    assert service.letter(anna.email, "Reset your password")


NOTICE = re.compile(r'<p class="promise" role="status" id="saved" tabindex="-1">([^<]+)</p>')


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("/me/business", {**COMPANY, "company_name": "Berg", "country": "DK"}, "We've saved your change."),
        ("/me/consents/email", {"decision": "withdrawn"}, "We've saved your change."),
        ("/me/email/cancel", {}, "You've stopped the change. Your account stays as it is."),
    ],
)
async def test_one_notice_says_that_a_change_was_saved(caller, service, action, fields, said):
    """Focused by its place in the URL, in the middle of what was changed; a later visit to the page has none."""
    anna = await a_business(caller, service, "en")
    await anna.browser.open("/me/email")
    await anna.browser.send("/me/email", email="other@example.org")
    assert '<div class="promise" role="status">' in anna.browser.page.text
    page = await anna.browser.send(action, **fields)
    assert ([html.unescape(text) for text in NOTICE.findall(page.text)], page.url.fragment) == ([said], "saved")
    assert NOTICE.findall((await anna.browser.open("/me")).text) == []


async def name_at_rest(caller, anna: Customer) -> str | None:
    return (await caller.get(f"/v1/accounts/{anna.user_id}")).json()["display_name"]


async def test_a_customer_gives_changes_and_removes_their_name(caller, service):
    """As `PATCH /v1/accounts/{user_id}` does: composed and trimmed, with an event that has no name; what is unchanged
    records nothing."""
    anna = await a_customer(caller, service)
    await anna.sign_in()
    assert "Add your name" in (await anna.browser.open("/me")).text
    ali = "\u0639\u0644\u064a"
    for typed, stored in ((" Anna  Be\u0301rg\u200b ", "Anna  B\u00e9rg"), (ali, ali)):
        await anna.browser.open("/me/name")
        page = (await anna.browser.send("/me/name", name=typed)).text
        assert anna.browser.page.url.path == "/me"
        assert "We've saved your change." in anna.browser.text
        assert f"<bdi>{stored}</bdi>" in page
        assert "Change your name" in page
        assert await name_at_rest(caller, anna) == stored
    assert f'value="{ali}"' in (await anna.browser.open("/me/name")).text
    await anna.browser.send("/me/name", name=ali)
    await anna.browser.open("/me/name")
    await anna.browser.send("/me/name", name=" ")
    assert "<dt>Name</dt><dd><bdi>–</bdi></dd>" in anna.browser.page.text
    assert await name_at_rest(caller, anna) is None
    told = await service.rows("SELECT actor, data FROM event WHERE name = 'account.updated' ORDER BY id")
    assert told == [("customer", {"fields": ["display_name"]})] * 3


@pytest.mark.parametrize("name", ["x" * 201, "Anna\u202egreB", "=?utf-8?q?x?=", "a" + "\u0301" * 31])
async def test_a_name_that_is_no_line_is_refused_with_what_was_typed(caller, service, name):
    """The same as the interface refuses; the form stays filled in."""
    anna = await a_customer(caller, service)
    await anna.sign_in()
    await anna.browser.open("/me/name")
    page = await anna.browser.send("/me/name", name=name)
    assert page.status_code == 422
    assert "Enter your name on one line" in anna.browser.text
    assert html.escape(name[:20]) in page.text
    refused = await caller.patch(f"/v1/accounts/{anna.user_id}", {"display_name": name})
    assert refused.status_code == 422
    assert await name_at_rest(caller, anna) is None


async def test_a_name_with_html_is_text(caller, service):
    anna = await a_customer(caller, service)
    await anna.sign_in()
    await anna.browser.open("/me/name")
    await anna.browser.send("/me/name", name='"><script>alert(1)</script>')
    for path in ("/me", "/me/name", "/me/everything"):
        assert "<script>alert" not in (await anna.browser.open(path)).text
