"""Domains that look like others: refused where scripts mix, hinted at where a finger slipped; and any text at all."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.settings import Relay, Settings
from identity_service.values import email_addresses
from identity_service.values.email_addresses import EmailAddress, MalformedEmailAddress, parse, similar_domain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def refused(text: str) -> None:
    with pytest.raises(MalformedEmailAddress):
        parse(text)


def punycode(label: str) -> str:
    """Return an A-label made without asking whether the label may have one."""
    return "xn--" + label.encode("punycode").decode()


@pytest.mark.parametrize(
    "domain",
    [
        "раypal.com",
        "paypаl.com",
        "gооgle.com",
        "αpple.com",
        "аpple.com",
        "micrоsoft.com",
        "аmazon.de",
        "ｐaypаl.com",
        "example.cоm",
        "日本кот.jp",
        "ひらがなкот.jp",
        "한국кот.kr",
        "ひらがな한국.jp",
        "γειάкот.gr",
    ],
    ids=ascii,
)
def test_a_label_of_mixed_scripts_is_refused(domain):
    """ATT-43: written out or as an A-label; one foreign letter is enough."""
    label, _, top = domain.rpartition(".")
    for text in (f"a@{domain}", f"a@{punycode(label)}.{top}" if top.isascii() else f"a@x.{punycode(top)}"):
        refused(text)


@pytest.mark.parametrize(
    "domain",
    [
        "почта.рф",
        "почта.com",
        "bücher.почта.рф",
        "ελλάδα.gr",
        "日本語.jp",
        "例え.jp",
        "日本ab.jp",
        "ラーメン.jp",
        "らーめん.jp",
        "佐々木.jp",
        "〆切.jp",
        "한국.kr",
        "漢字한국.kr",
        "中文.cn",
        "ไทย.th",
        "भारत.in",
        "مصر.eg",
        "ישראל.il",
        "açaí.br",
        "ñandú.es",
        "smörgåsbord.se",
        "łódź.pl",
        "l·l.cat",
    ],
)
def test_a_domain_of_one_script_is_accepted(domain):
    """ATT-43: and of those that Japanese, Korean and Chinese really mix (UTS 39); A-labels are stored and compared."""
    found = parse(f"a@{domain}")
    assert found.shown == f"a@{domain}"
    assert re.fullmatch(r"a@[a-z0-9.-]+", found.key)
    assert "xn--" in found.key
    assert parse(found.key) == found


@pytest.mark.parametrize(
    "label",
    [
        "bÜcher",
        "Ü",
        "ſs",
        "ﬁ",
        "①",
        "\uff20x",
        "a\uff0eb",
        "\u202ex",
        "a\u200bb",
        "a\u0308",
        "ｂｃ",
        "x\u3002y",
        "\u212a",
    ],
    ids=ascii,
)
def test_an_a_label_that_hides_what_nobody_may_write_is_refused(label):
    """ATT-42, ATT-43: it would not survive the way there and back."""
    refused(f"a@{punycode(label)}.com")


@pytest.mark.parametrize(
    "label",
    [
        "xn--",
        "xn--a",
        "xn---",
        "xn--abc",
        "xn--gmail-",
        "xn--strasse-",
        "xn--a<b-",
        "xn--a@b-",
        "xn--99999999",
        "xn--xn---epa",
    ],
)
def test_an_a_label_that_is_none_is_refused(label):
    """ATT-42, ATT-43."""
    refused(f"a@{label}.com")
    refused(f"a@x.{label}")


SLIPS = {
    "gmial.com": "gmail.com",
    "gmai.com": "gmail.com",
    "gmaill.com": "gmail.com",
    "gmsil.com": "gmail.com",
    "gmail.co": "gmail.com",
    "gmail.con": "gmail.com",
    "gmail.cmo": "gmail.com",
    "gmaıl.com": "gmail.com",
    "gmáil.com": "gmail.com",
    "maılbox.or": "mailbox.org",
    "ggmail.com": "gmail.com",
    "hotmial.com": "hotmail.com",
    "hotnail.de": "hotmail.de",
    "outlok.com": "outlook.com",
    "outloook.de": "outlook.de",
    "yaho.com": "yahoo.com",
    "icoud.com": "icloud.com",
    "gmx.dee": "gmx.de",
    "gnx.de": "gmx.de",
    "gmx.nte": "gmx.net",
    "web.ed": "web.de",
    "wbe.de": "web.de",
    "tonline.de": "t-online.de",
    "t-onlime.de": "t-online.de",
    "protonmial.com": "protonmail.com",
    "wannado.fr": None,
}


@pytest.mark.parametrize(("typed", "meant"), SLIPS.items())
def test_one_slip_in_a_common_domain_is_hinted_at(typed, meant):
    assert similar_domain(parse(f"a@{typed}")) == meant


REAL = """
gmail.com googlemail.com yahoo.com yahoo.de hotmail.com outlook.com live.com icloud.com me.com aol.com gmx.de gmx.net
gmx.at gmx.ch web.de t-online.de freenet.de proton.me mail.com posteo.de mailbox.org ymail.com rocketmail.com email.com
yahoo.dk yahoo.se yahoo.ie yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.in yahoo.co.uk yahoo.co.jp yahoo.com.br hotmail.dk
hotmail.se hotmail.be hotmail.fr hotmail.it hotmail.es hotmail.nl hotmail.ch hotmail.co.uk outlook.dk outlook.ie
outlook.be outlook.fr outlook.it outlook.at outlook.es live.de live.nl live.fr live.it live.se live.dk
live.be live.ca
live.at live.cn live.co.uk msn.com mac.com aim.com love.com gmx.com gmx.org gmx.info gmx.eu gmx.it gmx.fr gmx.es gmx.us
gmx.li gmx.co.uk mail.de email.de mail.ru mail.ch arcor.de online.de t-online.at vodafone.de vodafonemail.de o2online.de
posteo.net posteo.at posteo.be posteo.ee posteo.me posteo.se posteo.dk fastmail.com hey.com tutanota.com
tutanota.de
tuta.io zoho.com pm.me protonmail.ch yandex.ru ya.ru list.ru bk.ru inbox.ru qq.com 163.com naver.com wanadoo.fr sfr.fr
neuf.fr orange.com alice.it tin.it virgilio.it tiscali.it sunrise.ch hispeed.ch chello.at aon.at
aon.com a1.net
ziggo.nl telenet.be skynet.be verizon.net att.net sbcglobal.net cox.net charter.net rogers.com shaw.ca btinternet.com
sky.com bigpond.com seznam.cz wp.pl o2.pl interia.pl ge.com ms.com hp.com ibm.com bmw.de sap.com example.com
""".split()


@pytest.mark.parametrize("domain", REAL)
def test_a_real_domain_gets_no_hint(domain):
    """Nobody is asked whether he mistook his own address."""
    assert similar_domain(parse(f"a@{domain}")) is None


def test_what_is_hinted_at_gets_no_hint_itself():
    """A customer who follows a hint is not asked again."""
    for known in {*filter(None, SLIPS.values()), *email_addresses._COMMON_DOMAINS}:
        assert similar_domain(parse(f"a@{known}")) is None


LETTERS = st.one_of(
    st.sampled_from('abzAZ09.-_+@ıſßüÜé\u0308\u3002\uff0e\u200dЖяας日ーひ한"(<%!=?\0\r\n'),
    st.characters(exclude_categories=()),
)
LABELS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
    st.text(st.characters(categories=("L", "M", "Nd")), min_size=1, max_size=6),
    st.text(st.sampled_from("bücherßÉЖяάς日本ーラひ한국中éİıＡａ"), min_size=1, max_size=6),
    st.text(st.sampled_from("abüЖ日"), min_size=1, max_size=5).map(punycode),
)
LOCALS = st.from_regex(r"[A-Za-z0-9_+'&=~#$*/?^{}][A-Za-z0-9_+.'&=~#$*/?^{}-]{0,20}", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS | DOMAINS.map("{}.com".format))


def read(text: str) -> EmailAddress | None:
    try:
        return parse(text)
    except MalformedEmailAddress:
        return None


@settings(deadline=None, max_examples=500)
@given(st.text(LETTERS, max_size=40) | ADDRESSES)
def test_any_text_is_one_plain_mailbox_or_refused(text):
    """EML-01, ATT-41, ATT-42, ATT-44: nothing but MalformedEmailAddress is raised."""
    found = read(text)
    if found is not None:
        assert re.fullmatch(r"[A-Za-z0-9_+.'&=~#$*/?^{}-]{1,64}@([a-z0-9-]+\.)+[a-z0-9-]+", found.ascii)
        assert len(found.ascii) <= 254
        assert found.key == found.ascii.lower()
        assert found.shown.partition("@")[0] == text.partition("@")[0]


@settings(deadline=None, max_examples=500)
@given(ADDRESSES)
def test_what_is_read_reads_back_as_the_same(text):
    """ATT-45: stored, shown or compared, it names the same mailbox when it comes back."""
    found = read(text)
    if found is not None:
        assert parse(found.shown) == parse(found.ascii) == found
        assert parse(found.key).key == found.key
        assert parse(found.ascii.upper()).key == found.key


@settings(deadline=None, max_examples=200)
@given(ADDRESSES)
def test_what_is_read_can_be_mailed(text):
    """ATT-41, FACT-2: the last check before a relay, which knows nothing of this parser, finds one recipient in it."""
    found = read(text)
    if found is not None:
        sent = rendering.smtp_envelope(
            claimed(found), rendering.RenderedEmail("s", "t", "h"), SETTINGS, b"key", now=NOW
        )
        assert sent.recipient == found.ascii
        assert sent.payload.count(f"\r\nTo: {found.ascii}\r\n".encode()) == 1 or len(found.ascii) > 70


@settings(deadline=None)
@given(ADDRESSES)
def test_a_hint_is_always_a_common_domain_and_never_the_own_one(text):
    found = read(text)
    if found is not None:
        assert similar_domain(found) in (None, *email_addresses._COMMON_DOMAINS)
        assert similar_domain(found) != found.domain


SETTINGS = Settings(
    environment="development",
    public_url="https://id.example.com",
    master_key=SecretStr("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"),
    relays=(Relay(name="first", host="127.0.0.1", port=25, tls="none"),),
    mail_from="service@identity.example",
    mail_from_name="Example Shop",
)


def claimed(address: EmailAddress) -> ClaimedMessage:
    return ClaimedMessage(
        id=uuid.UUID(int=7), kind="welcome", user_id=None, recipient=address.shown, recipient_ascii=address.ascii,
        locale="en",
        facts={}, brand="default", priority=1, created_at=NOW,
        deadline_at=NOW + timedelta(days=1),
        attempts=0, deliveries=0, token=uuid.UUID(int=8), prefer_relay=None,
    )  # fmt: skip
