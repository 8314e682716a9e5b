"""What an application may be registered with."""

import pytest
from sqlalchemy.exc import IntegrityError

from identity_service.clients import redirect_uris, registration
from identity_service.clients import rules as client_rules
from tests.accounts.given import sql
from tests.openid.given import (
    BACK,
    a_shop,
)

HOST = "https://shop.example.org"


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "uri",
    [
        "", "javascript:alert(1)", "data:text/html,x", "http://localhost/cb", "http://0.0.0.0/cb", "http://127.1/cb",
        "https://a@b/cb", "https://@b/cb", "https://a:b@c/cb", "http://shop.example.org/cb", f"{BACK}#", f"{BACK}#a",
        "https://*.example.org/cb", f"{HOST}/*", f"{HOST}/a/../b", f"{HOST}/..;/b", f"{HOST}/%2e%2e/b", f"{HOST}//b",
        f"{HOST}/a%2Fb", f"{HOST}/a%5cb", f"{HOST}\\b", f"{HOST}/a b", f"{HOST}/a\tb", f"{HOST}/a\x00b",
        "https://SHOP.example.org/cb", "HTTPS://shop.example.org/cb", f"{HOST}:443/cb", f"{HOST}:/cb", f"{HOST}:0/cb",
        f"{HOST}:08443/cb", f"{HOST}:65536/cb", f"{HOST}./cb", "https://a..b/cb", "https://-a.b/cb",
        "https://exämple.org/cb", "https://10.0.0.1/cb", "https://127.1/cb", "https://0x7f.1/cb", "https://0x7f000001/cb",
        "https://2130706433/cb", "https://shop.0x1/cb", "https://[::1]/cb", "http://[::2]/cb", "app:/cb",
        f"https://{'a' * 64}.example/cb", f"{HOST}/{'a' * 1000}", "file:///etc/passwd", "https:///cb", "https://",
        "intent://x", "blob:https://shop.example.org/x",
    ],
)  # fmt: skip
def test_what_cannot_be_registered(uri, native):
    """OID-02: no address that browsers read in another way than we do, or that another program can own."""
    with pytest.raises(redirect_uris.MalformedRedirectUri) as refused:
        redirect_uris.check_registered(uri, native=native)
    assert refused.value.status == 422


@pytest.mark.parametrize("uri", ["http://127.0.0.1/cb", "http://[::1]:7000/cb?a=b", "com.example.app:/cb"])
def test_what_only_a_native_application_registers(uri):
    """OID-02: loopback literals and schemes of their own with a dot."""
    redirect_uris.check_registered(uri, native=True)
    with pytest.raises(redirect_uris.MalformedRedirectUri):
        redirect_uris.check_registered(uri, native=False)
    for plain in (BACK, f"{BACK}?shop=1", f"{HOST}:8443/cb", HOST, "https://xn--exmple-cua.org/cb", "https://a.0b/cb"):
        redirect_uris.check_registered(plain, native=False)


async def test_no_way_around_the_check_of_what_is_registered(service, owner):
    """OID-02, OID-38, OID-40: the action refuses each field; the table refuses a foreign scheme on its own."""
    shop = await a_shop(service)
    bad = [
        {"redirect_uris": {"javascript:alert(1)"}}, {"redirect_uris": set()}, {"logout_uris": {"https://a@b/"}},
        {"backchannel_logout_uri": "http://shop.example.org/"}, {"backchannel_logout_uri": "https://{sub}.example/"},
        {"id_token_alg": "none"}, {"id_token_alg": "HS256"}, {"scopes": {"openid", "admin"}}, {"kind": "other"},
    ]  # fmt: skip
    for given in bad:
        with pytest.raises((client_rules.WrongSignInSettings, redirect_uris.MalformedRedirectUri)):
            await service.database.in_transaction(
                lambda s, given=given: registration.set_sign_in(s, shop.client_id, now=service.clock(), **given)
            )
    row = "INSERT INTO redirect_uri (client_id, use, uri) VALUES (:id, 'redirect', :uri)"
    for uri in ("javascript:alert(1)", "http://shop.example.org/", "data:text/html,x", "https://a/#b", "https://a/\tb"):
        with pytest.raises(IntegrityError):
            await sql(owner, row, id=shop.client_id, uri=uri)
