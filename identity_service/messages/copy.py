"""What every email says: subject and paragraphs of each kind, in English; catalogues and brands replace sentences.

An email is its paragraphs in order. A paragraph may end in something that it `shows` (a link as a button, a code, the
User ID, the promise); without a value for it, the paragraph is left out, and nothing else can leave one out. Names in
braces are places for values. Text and HTML are made of the same paragraphs (`rendering`). Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

from identity_service.messages.parts import CODE_THERE, FINE, PLACE, SAFETY, EmailCopy, Part
from identity_service.messages.security_copy import SECURITY

SUBJECTS: Final = {
    "reset": "Reset your password",
    "signin": "Your sign-in code",
    "address": "Please confirm your email address",
}
"""Subjects by purpose: messages to known and unknown addresses have the same, because the tracking page shows it."""

_IGNORE: Final = Part("not_you", "If this wasn't you, you can ignore this email. Nothing will change.")
_PROMISE: Final = Part("promise", "Our promise to you:", shows="promise")
_CLOSED: Final = Part("why", "Your account {known_id} with this address is closed.")
_REOPEN: Final = Part(
    "link", "You can open it again here, as it was, until 30 days after it was closed:", shows="link",
    button="Reopen the account",
)  # fmt: skip
_UNDO: Final = Part(
    "link", "If you didn't want this, you can undo it within seven days. That also signs out every device:",
    shows="link", button="Undo the change",
)  # fmt: skip
_REQUESTED: Final = "Requested on {requested_at}, {where_from}."

COPY: Final[Mapping[str, EmailCopy]] = {
    "welcome": EmailCopy("Your User ID is {user_id}", (
        Part("why", "This is your User ID. Keep it safe, and quote it when you contact us.", shows="user_id"),
        Part("spoken", "How to say it on the phone:", shows="spoken"),
        _PROMISE,
        Part("receipt", "A signed receipt of this promise is attached. You can check it here:", shows="link",
             button="Check a receipt"),
        Part("not_you", "You don't need to do anything. If you didn't ask for a User ID, someone may have entered your "
             "address by mistake. You can ignore this email, and we won't send you anything else."),
        SAFETY,
    )),
    "address_check": EmailCopy(SUBJECTS["address"], (
        Part("why", "Someone, probably you, asked us for a User ID with this email address. It is {user_id}."),
        Part("when", _REQUESTED),
        Part("link", "To link this address to the User ID, open this page within 24 hours:", shows="link",
             button="Confirm this address"),
        Part("code", "Or enter this code on the page that showed your User ID:", shows="code"),
        _PROMISE,
        Part("not_you", "If this wasn't you, you can ignore this email. We won't link this address to an account "
             "unless you confirm."),
        SAFETY,
    )),
    "address_taken": EmailCopy(SUBJECTS["address"], (
        Part("why", "You already have a User ID: {known_id}. Someone, probably you, asked us for another one with this "
             "address: {user_id}."),
        Part("when", _REQUESTED),
        Part("link", "To make the two one account, open this page. You can then use either User ID:", shows="link",
             button="See both accounts"),
        Part("code", "Or enter this code on the page that showed the new User ID:", shows="code"),
        _PROMISE, _IGNORE, SAFETY,
    )),
    "address_closed": EmailCopy(SUBJECTS["address"], (
        Part("why", "Your account {known_id} with this address is closed. Someone, probably you, asked us for a new "
             "User ID with this address: {user_id}."),
        Part("when", _REQUESTED),
        Part("link", "To confirm the address, open this page. If the old account can still be reopened, you can choose "
             "it there:", shows="link", button="Confirm this address"),
        Part("code", "Or enter this code on the page that showed the new User ID:", shows="code"),
        _PROMISE, _IGNORE, SAFETY,
    )),
    "reset": EmailCopy(SUBJECTS["reset"], (
        Part("why", "We received a request to reset the password for User ID {user_id}."),
        Part("link", "To choose a new password, open this page. It works until {link_until}:", shows="link",
             button="Choose a new password"),
        Part("code", "Or enter this code on the page where you asked, or on the page that the link opens. It works for "
             "{code_minutes} minutes:", shows="code"),
        Part("when", _REQUESTED), _IGNORE, SAFETY,
    )),
    "reset_needed": EmailCopy(SUBJECTS["reset"], (
        Part("why", "Your old email address is back on account {user_id}. Your password no longer works, because "
             "someone else may know it."),
        Part("link", "To choose a new password, open this page. It works until {link_until}:", shows="link",
             button="Choose a new password"),
        Part("code", "Or enter this code on the page that the link opens. It works for {code_minutes} minutes:",
             shows="code"),
        SAFETY,
    )),
    "reset_over": EmailCopy(SUBJECTS["reset"], (
        Part("why", "We received a request to reset a password with this address. It has ended: the password was "
             "set in another way since, or the account was closed."),
        Part("link", "If you still need a new password, ask for it again here:", shows="link",
             button="Ask for a new password"),
        Part("when", _REQUESTED),
        Part("help", "Our support team can help: give them the reference on the page where you asked."),
        _IGNORE, SAFETY,
    )),
    "passkey_reset": EmailCopy(SUBJECTS["reset"], (
        Part("why", "We received a request to reset the password for User ID {user_id}. You've turned off every way to "
             "sign in but your passkeys, so there is no link and no code."),
        Part("link", "You can sign in here with a passkey on any of your devices:", shows="link", button="Sign in"),
        Part("when", _REQUESTED),
        Part("help", "Have you lost all of them? Our support team can help: give them your User ID."),
        _IGNORE, SAFETY,
    )),
    "no_account": EmailCopy(SUBJECTS["reset"], (
        Part("why", "We received a request to reset a password with this address, but there is no account with it."),
        Part("link", "You may have registered with another address, or the account is closed. You can try another "
             "address here:", shows="link", button="Try another address"),
        Part("when", _REQUESTED),
        Part("help", "Our support team can help: give them the reference on the page where you asked."),
        _IGNORE, SAFETY,
    )),
    "signin_code": EmailCopy(SUBJECTS["signin"], (
        Part("why", "Someone, probably you, wants to sign in with this address."),
        Part("code", "Enter this code on the page where you asked. It works for {code_minutes} minutes:", shows="code"),
        Part("link", "You can sign in here:", shows="link", button="Sign in"),
        Part("when", _REQUESTED),
        Part("not_you", "If this wasn't you, you can ignore this email. Nobody can sign in without this code."),
        SAFETY,
    )),
    "passkey_signin": EmailCopy(SUBJECTS["signin"], (
        Part("why", "Someone, probably you, wants to sign in with this address. You've turned off every way to sign in "
             "but your passkeys, so there is no code."),
        Part("link", "You can sign in here with a passkey on any of your devices:", shows="link", button="Sign in"),
        Part("when", _REQUESTED),
        Part("help", "Have you lost all of them? Our support team can help: give them your User ID."),
        _IGNORE, SAFETY,
    )),
    "no_account_signin": EmailCopy(SUBJECTS["signin"], (
        Part("why", "Someone, probably you, wants to sign in with this address. There is no account with it, so "
             "there is no code."),
        Part("link", "You may have registered with another address, or the account is closed. You can get a new "
             "User ID here:", shows="link", button="Get a User ID"),
        Part("when", _REQUESTED), _IGNORE, SAFETY,
    )),
    "closed_reset": EmailCopy(SUBJECTS["reset"], (
        _CLOSED, _REOPEN, Part("when", _REQUESTED), _IGNORE, SAFETY,
    )),
    "closed_signin": EmailCopy(SUBJECTS["signin"], (
        _CLOSED, _REOPEN, Part("when", _REQUESTED), _IGNORE, SAFETY,
    )),
    "caller_check": EmailCopy("Your code for your call with us", (
        Part("why", "If you are on the phone with us now, our staff will ask you for this code:", shows="code"),
        Part("phrase", "They must first tell you these two words. If they don't know them, hang up:", shows="phrase"),
        Part("contact", "Reference of this call: {contact}."),
        Part("not_you", "If you're not on the phone with us, don't share this code with anyone."),
    )),
    "consent_confirmation": EmailCopy("Can we contact you? Please answer", (
        Part("why", "On {requested_at} we heard that you, User ID {user_id}, would agree to this:", shows="wording"),
        Part("link", "Only you can say yes. If you want to, open this page within seven days:", shows="link",
             button="Read and answer"),
        CODE_THERE,
        Part("not_you", "If you don't want this, you don't need to do anything. Without your answer it stays a no."),
    )),
    "consent_granted": EmailCopy("You said yes", (
        Part("why", "On {requested_at} you, User ID {user_id}, agreed to this:", shows="wording"),
        Part("link", "You can withdraw it at any time here. It counts at once, and you don't need to sign in:",
             shows="link", button="Withdraw my consent"),
        Part("not_you", "If this wasn't you, use the same page."),
    )),
    **SECURITY,
    "business_undo": EmailCopy("You have a business account now", (
        Part("why", "Your account {user_id} is a business account now. Your User ID, password, consents and history "
             "stay the same."),
        Part("link", "If you don't want this, you can go back within seven days. Nothing that happened is lost:",
             shows="link", button="Change back to a private account"),
        CODE_THERE, FINE, SAFETY,
    )),
    "email_change": EmailCopy("Please confirm your new email address", (
        Part("why", "Someone, probably you, wants us to send emails about account {user_id} to this address from "
                    "now on."),
        Part("link", "To confirm it, open this page within 30 minutes:", shows="link", button="Confirm this address"),
        CODE_THERE, _IGNORE, SAFETY,
    )),
    "address_changed": EmailCopy("Your email address was changed", (
        Part("why", "We now send emails about your account {user_id} to a different address."),
        Part("link", "If this wasn't you, you can change it back within seven days. That also signs out every device:",
             shows="link", button="Change it back"),
        CODE_THERE,
        Part("fine", "If this was you, you don't need to do anything."), SAFETY,
    )),
    "further_address": EmailCopy("Please confirm another email address", (
        Part("why", "Someone, probably you, wants to add this address to account {user_id}."),
        Part("link", "To confirm it, open this page within 30 minutes:", shows="link", button="Confirm this address"),
        CODE_THERE, _IGNORE, SAFETY,
    )),
    "address_added": EmailCopy("An email address was added to your account", (
        Part("why", "The email address {address} was added to your account {user_id}. It counts once it is confirmed."),
        _UNDO, CODE_THERE, FINE, SAFETY,
    )),
    "address_removed": EmailCopy("An email address was removed from your account", (
        Part("why", "The email address {address} was removed from your account {user_id}."),
        _UNDO, CODE_THERE, FINE, SAFETY,
    )),
    "merge_confirmation": EmailCopy("Do you want to merge your two accounts?", (
        Part("why", "Someone, probably you, asked us to make your accounts {user_id} and {other} one account. You "
             "would use {survivor} from then on; the other User ID leads to it."),
        Part("link", "To agree, open this page within 24 hours. We ask the other mailbox too, and you can undo it "
             "for 30 days:", shows="link", button="See both accounts"),
        CODE_THERE, _IGNORE, SAFETY,
    )),
    "change_confirmation": EmailCopy("Approve a change to your account", (
        Part("why", "Our support team has prepared a change to your account {user_id}: {what}."),
        Part("link", "To approve it, open this page within 24 hours:", shows="link", button="See the change"),
        CODE_THERE, _IGNORE, SAFETY,
    )),
    "stop_link": EmailCopy("Your account will change. You can stop it", (
        Part("why", "Our support team has prepared a change to your account {user_id}: {what}. The person who "
             "called told us that they can no longer read this mailbox."),
        Part("link", "It happens in 72 hours. If you don't want it, you can stop it here:", shows="link",
             button="Stop this change"),
        CODE_THERE, FINE, SAFETY,
    )),
    "merged": EmailCopy("Your two accounts are now one", (
        Part("why", "Your accounts {survivor} and {other} are one account now. You can use either User ID."),
        Part("not_you", "If you didn't agree to this, contact us. It can be undone for 30 days."), SAFETY,
    )),
    "merge_undone": EmailCopy("Your two accounts are separate again", (
        Part("why", "Your accounts {survivor} and {other} are two accounts again. Everyone has been signed out of "
             "both, a password that was set through the other account no longer works, and consents given in the "
             "meantime are withdrawn."),
        Part("not_you", "If this wasn't you, contact us. If you can't sign in, ask for a new password."), SAFETY,
    )),
    "taken_back": EmailCopy("You used a link in one of our emails", (
        Part("why", "A link in one of our emails was used for your account {user_id}: {what}."),
        Part("link", "Some mail programs open links by themselves. If you didn't want this, sign in here and change "
             "it back, or contact us:", shows="link", button="Sign in"),
        Part("fine", "If this was you, you don't need to do anything."), SAFETY,
    )),
    "business_ended": EmailCopy("You have a private account again", (
        Part("why", "Your account {user_id} is a private account again. Your User ID, password, consents and history "
             "stay the same."),
        Part("link", "If you didn't want this, sign in here and change it back, or contact us:", shows="link",
             button="Sign in"),
        Part("fine", "If this was you, you don't need to do anything."), SAFETY,
    )),
    "company_changed": EmailCopy("Your company's details were changed", (
        Part("why", "The company's details in your account {user_id} were changed: name, numbers, contact person or "
             "billing address."),
        Part("link", "You can check them here after signing in:", shows="link", button="Check the details"),
        Part("not_you", "If this wasn't you, sign in, correct them, end all other sessions there, and contact "
                        "us."), SAFETY,
    )),
    "account_reopened": EmailCopy("Your account is open again", (
        Part("why", "Your account {user_id} was closed and is open again, as it was before. Nobody is signed in to "
                    "it."),
        Part("link", "You can sign in here:", shows="link", button="Sign in"),
        Part("not_you", "If you didn't want this, sign in and close it, or contact us."), SAFETY,
    )),
    "account_closed": EmailCopy("Your account is closed", (
        Part("why", "Your account {user_id} is closed. Nobody can sign in to it any more. We keep your order "
             "history and email address."),
        Part("link", "If this was a mistake or wasn't you, you can open it again within 30 days:", shows="link",
             button="Reopen the account"),
        CODE_THERE, FINE, SAFETY,
    )),
    "account_erased": EmailCopy("Your account is erased", (
        Part("why", "We've erased your account {user_id} and everything personal in it. This can't be undone. You can "
             "register again at any time, and you'll get a new User ID."),
        Part("last", "This is the last email about this account. Once it's sent, we forget your address."),
        Part("not_you", "If this wasn't you, contact us straight away."), SAFETY,
    )),
    "test": EmailCopy("Test email", (
        Part("why", "This email tests how we send all our emails. You don't need to do anything."),
    )),
}  # fmt: skip
"""By name of the words; a kind may have two (`reset` and `reset_over`)."""


def fill(sentence: str, facts: Mapping[str, Any]) -> str:
    """Return a sentence with its places filled, once: a value with braces stays as it is.

    Raises:
        KeyError: a fact is missing.
    """
    return PLACE.sub(lambda place: str(facts[place[1]]), sentence)
