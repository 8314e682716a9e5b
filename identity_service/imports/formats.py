"""The exports of known products: which of their columns are which of our fields. Pure.

A row comes with its names in lower case; from CSV all values are text, from JSON they are what JSON has. A product's
other columns are not taken. What is disabled there keeps its account here and loses its password.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from identity_service.imports.fields import CannotImport, is_nothing, is_word_for_nothing
from identity_service.imports.rows import LEFT_OUT
from identity_service.passwords import legacy_hashes
from identity_service.passwords.legacy_hashes import FirebaseParameters

Raw = Mapping[str, Any]
NATIVE: Final = "native"
FIREBASE_COLUMNS: Final = (
    "localId", "email", "emailVerified", "passwordHash", "salt", "displayName",
    *(f"provider {number}" for number in range(17)), "createdAt", "lastSignedInAt", "phoneNumber", "disabled",
)  # fmt: skip
"""The columns of `firebase auth:export --format=csv`, which writes no heading."""
LISTS: Final = frozenset({"users", "Users", "customers"})
"""The names under which an export that is one JSON object has its rows."""
_DISABLED: Final = "password_hash: left out, because the account is disabled there."


class Format(NamedTuple):
    """One product: the columns that tell it, in alternatives, and how a row is read."""

    name: str
    columns: tuple[frozenset[str], ...]
    read: Callable[[Raw, FirebaseParameters | None], dict[str, str]]


def find_format(columns: Iterable[str]) -> Format | None:
    """Return the product whose export has these columns or keys, None if none is known."""
    there = {column.strip().casefold() for column in columns}
    return next((known for known in FORMATS.values() if any(some <= there for some in known.columns)), None)


def read_product_row(known: Format, given: Raw, firebase: FirebaseParameters | None) -> dict[str, str]:
    """Return our fields of a product's row; `LEFT_OUT` says what of it was not taken. Without any other field the row
    is none of a customer.

    Raises:
        CannotImport: the row has another structure than the product's.
    """
    try:
        return known.read({name.casefold(): value for name, value in given.items()}, firebase)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise CannotImport(f"This row has not the structure of an export of {known.name}.") from None


def _text(value: Any) -> str:  # noqa: ANN401
    """Return a value as text; of null, lists and objects nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value).strip() if isinstance(value, str | int) else ""


def _first(given: Raw, *names: str) -> str:
    """Return the first of these values that says something."""
    texts = (_text(given.get(name)) for name in names)
    return next((text for text in texts if not is_nothing(text)), "")


def _name(given: Raw, first: str, last: str) -> str:
    parts = (_first(given, first), _first(given, last))
    return " ".join(part for part in parts if part and not is_word_for_nothing(part))


def _address(given: Raw, email: str, login: str) -> str:
    """Return the address; some products have it as the name to sign in with."""
    return _first(given, email) or (_first(given, login) if "@" in _first(given, login) else "")


def _row(*, left_out: str = "", **fields: str) -> dict[str, str]:
    found = {name: value for name, value in fields.items() if value}
    return {**found, LEFT_OUT: left_out} if left_out else found


def _with_password(row: dict[str, str], hashed: str, *, is_active: bool, problem: str = "") -> dict[str, str]:
    if not hashed or legacy_hashes.is_unusable(hashed):
        return row
    if is_active and not problem:
        return {**row, "password_hash": hashed}
    told = (row.get(LEFT_OUT, ""), problem or _DISABLED)
    return {**row, LEFT_OUT: " ".join(filter(None, told))}


def _with_company(row: dict[str, str], company: str, country: str, vat: str = "") -> dict[str, str]:
    """Return a row with its company; in these products it is often half filled in, so half a company is left out."""
    if company and len(country) == 2:
        return {**row, "company_name": company, "country": country, **({"vat_number": vat} if vat else {})}
    if company or vat:
        missing = "country (two letters)" if company else "name"
        told = (row.get(LEFT_OUT, ""), f"company_name: the company was left out, because it has no {missing}.")
        return {**row, LEFT_OUT: " ".join(filter(None, told))}
    return row


def _keycloak(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    if _first(given, "serviceaccountclientid"):
        return {LEFT_OUT: "This is the service account of a client, and no customer."}
    locale = (given.get("attributes") or {}).get("locale") or [""]
    row = _row(
        email=_address(given, "email", "username"), email_verified=_first(given, "emailverified"),
        display_name=_name(given, "firstname", "lastname"), reference=_first(given, "id"),
        customer_since=_first(given, "createdtimestamp"), locale=_text(locale[0]),
    )  # fmt: skip
    passwords = [one for one in given.get("credentials") or [] if one.get("type") == "password"]
    return _with_password(
        row, _keycloak_hash(passwords[0]) if passwords else "", is_active=_is_active(given, "enabled")
    )


def _keycloak_hash(one: Raw) -> str:
    if "credentialData" in one:
        return json.dumps({name: one[name] for name in ("credentialData", "secretData")})
    about = {"algorithm": one["algorithm"], "hashIterations": one["hashIterations"]}
    return json.dumps({"credentialData": about, "secretData": {"value": one["hashedSaltedValue"], "salt": one["salt"]}})


def _is_active(given: Raw, name: str) -> bool:
    return _first(given, name).casefold() not in ("false", "f", "0", "no")


def _auth0(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    email, name = _first(given, "email"), _first(given, "name")
    document = given.get("_id")
    stored_as = f"auth0|{document['$oid']}" if isinstance(document, dict) else ""
    created = given.get("created_at")
    row = _row(
        email=email, email_verified=_first(given, "email_verified"),
        display_name=_name(given, "given_name", "family_name") or ("" if name == email else name),
        reference=_first(given, "user_id", "id") or stored_as, locale=_first(given, "locale"),
        customer_since=_mongo_date(created) if isinstance(created, dict) else _text(created),
    )  # fmt: skip
    is_blocked = _first(given, "blocked").casefold() == "true"
    return _with_password(row, _first(given, "passwordhash", "password_hash"), is_active=not is_blocked)


def _mongo_date(written: Raw) -> str:
    """Return a date as MongoDB exports it: relaxed, or canonical with `$numberLong` (Extended JSON v2)."""
    date = written["$date"]
    return _text(date["$numberLong"] if isinstance(date, dict) else date)


def _firebase(given: Raw, parameters: FirebaseParameters | None) -> dict[str, str]:
    row = _row(
        email=_first(given, "email"), email_verified=_first(given, "emailverified"),
        display_name=_first(given, "displayname"), reference=_first(given, "localid"),
        customer_since=_first(given, "createdat"),
    )  # fmt: skip
    hashed, problem = _first(given, "passwordhash"), ""
    if hashed and parameters is None:
        problem = "password_hash: left out, because Firebase's hashes need --firebase-parameters."
    elif hashed and parameters is not None:
        try:
            hashed = legacy_hashes.firebase_hash(hashed, _first(given, "salt"), parameters)
        except legacy_hashes.UnknownPasswordHash:
            problem = "password_hash: left out, because it does not fit the parameters of Firebase that were given."
    is_active = _first(given, "disabled").casefold() != "true"
    return _with_password(row, hashed, is_active=is_active, problem=problem)


def _cognito(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    listed = given.get("attributes") or given.get("userattributes") or []
    about = {**given, **{one["Name"]: one["Value"] for one in listed}}
    return _row(
        email=_address(about, "email", "cognito:username"), email_verified=_first(about, "email_verified"),
        display_name=_first(about, "name") or _name(about, "given_name", "family_name"),
        reference=_first(about, "sub", "username", "cognito:username"), locale=_first(about, "locale"),
        customer_since=_first(about, "usercreatedate"),
    )  # fmt: skip


def _django(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    if "model" in given:
        if "password" not in given["fields"]:
            return {LEFT_OUT: "This object is of a model that has no passwords, and no customer."}
        given = {"id": given["pk"], **given["fields"]}
    row = _row(
        email=_address(given, "email", "username"), display_name=_name(given, "first_name", "last_name"),
        reference=_first(given, "id"), customer_since=_first(given, "date_joined"),
    )  # fmt: skip
    return _with_password(row, _first(given, "password"), is_active=_is_active(given, "is_active"))


def _wordpress(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    row = _row(
        email=_first(given, "user_email"),
        display_name=_name(given, "first_name", "last_name") or _first(given, "display_name"),
        reference=_first(given, "id", "user_login"), customer_since=_first(given, "user_registered"),
        locale=_first(given, "locale"),
    )  # fmt: skip
    row = _with_company(row, _first(given, "billing_company"), _first(given, "billing_country"))
    return _with_password(row, _first(given, "user_pass"), is_active=True)


def _woocommerce(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    billing = given.get("billing") or {}
    identifier = _first(given, "id")
    row = _row(
        email=_first(given, "email") or _first(billing, "email"),
        display_name=_name(given, "first_name", "last_name") or _first(given, "name"),
        reference=(identifier if identifier != "0" else "") or _first(given, "username"),
        customer_since=_first(given, "date_created_gmt", "date_created", "date registered", "sign up"),
    )  # fmt: skip
    return _with_company(row, _first(billing, "company"), _first(billing, "country"))


_ANSWERS: Final = {
    "yes": "granted", "true": "granted", "subscribed": "granted",
    "no": "withdrawn", "false": "withdrawn", "unsubscribed": "withdrawn",
}  # fmt: skip
"""A "no" in an export is taken as a withdrawal: nobody is marketed to who may have said no."""


def _shopify(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    asked, default = given.get("email_marketing_consent") or {}, given.get("default_address") or {}
    answer = _text(asked.get("state")) or _first(
        given, "accepts email marketing", "accepts_marketing", "accepts marketing"
    )
    decision = _ANSWERS.get(answer.casefold(), "")
    sms = _first(given, "accepts sms marketing").casefold() == "yes"
    row = _row(
        email=_first(given, "email"), email_verified=_first(given, "verified_email"),
        display_name=_name(given, "first name", "last name") or _name(given, "first_name", "last_name"),
        reference=_first(given, "customer id", "id").lstrip("'"), customer_since=_first(given, "created_at"),
        locale=_first(given, "locale"), consent_purpose=decision and "email", consent_decision=decision,
        consent_at=_text(asked.get("consent_updated_at")) if decision else "",
        left_out="Accepts SMS Marketing: left out; import it from a file of its own." if sms else "",
    )  # fmt: skip
    company = _first(given, "default address company", "company") or _first(default, "company")
    country = _first(given, "default address country code", "country code") or _first(default, "country_code")
    return _with_company(row, company, country)


def _magento(given: Raw, _: FirebaseParameters | None) -> dict[str, str]:
    if not _first(given, "email") and not _first(given, "id", "entity_id"):
        return {LEFT_OUT: "This row is another postal address of the customer above, which is not imported."}
    confirmed = _first(given, "confirmed email").casefold()
    row = _row(
        email=_first(given, "email"), display_name=_name(given, "firstname", "lastname") or _first(given, "name"),
        reference=_first(given, "id", "entity_id"),
        customer_since=_day_first(_first(given, "created_at", "customer since")),
        email_verified={"confirmed": "true", "confirmation not required": ""}.get(confirmed, ""),
    )  # fmt: skip
    company = _first(given, "company", "_address_company")
    country = _first(given, "_address_country_id", "country")
    row = _with_company(row, company, country, _first(given, "_address_vat_id", "vat number") if company else "")
    return _with_password(row, _first(given, "password_hash"), is_active=True)


def _day_first(text: str) -> str:
    """Return the moment of Magento's grid ("May 17, 2009 2:30:00 PM") as ISO 8601; any other text as it is."""
    try:
        return datetime.strptime(text, "%b %d, %Y %I:%M:%S %p").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return text


def _format(name: str, read: Callable[[Raw, FirebaseParameters | None], dict[str, str]], *columns: str) -> Format:
    return Format(name, tuple(frozenset(some.split(",")) for some in columns), read)


FORMATS: Final = {
    known.name: known
    for known in (
        _format("keycloak", _keycloak, "createdtimestamp,username", "emailverified,username,enabled"),
        _format("auth0", _auth0, "user_id,email_verified", "user_id,identities", "_id,email_verified"),
        _format("firebase", _firebase, "localid"),
        _format("cognito", _cognito, "userstatus,username", "cognito:username"),
        _format("django", _django, "model,pk,fields", "password,date_joined"),
        _format("wordpress", _wordpress, "user_email,user_login", "user_email,user_registered"),
        _format("woocommerce", _woocommerce, "is_paying_customer", "date_created_gmt,billing", "name,email,aov"),
        _format(
            "shopify", _shopify, "customer id,accepts email marketing", "first name,last name,accepts marketing",
            "email,email_marketing_consent", "email,accepts_marketing,orders_count",
        ),
        _format("magento", _magento, "email,_website", "email,customer since,web site"),
    )
}  # fmt: skip
"""By name. The first whose columns are all there is taken."""
