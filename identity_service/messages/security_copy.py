"""What the emails about passwords, passkeys, codes, apps and numbers say; see `copy`. Pure."""

from collections.abc import Mapping
from typing import Final

from identity_service.messages.parts import CODE_THERE, FINE, IF_NOT_YOU, IF_YOU, SAFETY, EmailCopy, Part

SECURITY: Final[Mapping[str, EmailCopy]] = {
    "password_changed": EmailCopy(
        "Your password was changed",
        (
            Part(
                "why",
                "The password for User ID {user_id} was set on {changed_at}. You've been signed out on all devices.",
            ),
            Part("when", "The email that it was set with was requested {where_from}."),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, someone may have access to your email. Secure your mailbox first, then "
                "choose a new password here, and contact us:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "password_changed_by_text": EmailCopy(
        "Your password was changed with a text message",
        (
            Part(
                "why",
                "The password for User ID {user_id} was set on {changed_at} with a code from a text message to "
                "your telephone number. You've been signed out on all devices.",
            ),
            Part("fixed", "For 72 hours, email addresses, telephone numbers and passkeys stay as they are."),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, someone may have taken over your telephone number. Choose a new password "
                "here, and contact us:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "passkey_added": EmailCopy(
        "A passkey was added to your account",
        (
            Part(
                "why",
                "A passkey was added to your account {user_id} on {changed_at}. Whoever has it can sign in without "
                "a password.",
            ),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new passkeys and "
                "signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "passkey_removed": EmailCopy(
        "A passkey was removed from your account",
        (
            Part(
                "why",
                "A passkey was removed from your account {user_id} on {changed_at}. You've been signed out on all "
                "other devices.",
            ),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new passkeys and "
                "signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "call_denied": EmailCopy(
        "You told us that a call wasn't yours",
        (
            Part(
                "why",
                "On {changed_at} someone told us, signed in to your account {user_id}, that they weren't on the "
                "phone with us. For 24 hours our support team verifies nobody for your account.",
            ),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, someone else is signed in to your account. Set a new password here and "
                "contact us:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "recovery_proof": EmailCopy(
        "Your code to recover your account",
        (
            Part(
                "why",
                "Someone, probably you, has entered the recovery code of your account {user_id} and needs a second "
                "proof.",
            ),
            Part(
                "code",
                "Enter this code on the page where you asked. It works for {code_minutes} minutes:",
                shows="code",
            ),
            Part(
                "not_you",
                "If this wasn't you, someone has your recovery code. They can't get in without this code. Sign "
                "in and make a new recovery code:",
                shows="link",
                button="Make a new recovery code",
            ),
            SAFETY,
        ),
    ),
    "recovery_code_created": EmailCopy(
        "You have a new recovery code",
        (
            Part(
                "why",
                "A recovery code was made for your account {user_id} on {changed_at}. An older one doesn't work "
                "any more.",
            ),
            IF_YOU,
            IF_NOT_YOU,
        ),
    ),
    "recovery_code_used": EmailCopy(
        "Your recovery code was used",
        (
            Part(
                "why",
                "The recovery code of your account {user_id} was used on {changed_at}. It doesn't work any more; "
                "whoever used it was shown a new one.",
            ),
            IF_YOU,
            IF_NOT_YOU,
        ),
    ),
    "recovery_code_entered": EmailCopy(
        "Someone entered your recovery code",
        (
            Part(
                "why",
                "The recovery code of your account {user_id} was entered on {changed_at}. Nothing changes before a "
                "second proof is given.",
            ),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, someone has your recovery code. Sign in and make a new one:",
                shows="link",
                button="Make a new recovery code",
            ),
        ),
    ),
    "recovery_code_missed": EmailCopy(
        "Someone tried to guess your recovery code",
        (
            Part(
                "why",
                "On {changed_at} wrong recovery codes were entered for your account {user_id} that begin like "
                "yours. Nobody got in.",
            ),
            IF_YOU,
            Part(
                "not_you",
                "If this wasn't you, someone has seen a part of your recovery code. Sign in and make a new one:",
                shows="link",
                button="Make a new recovery code",
            ),
        ),
    ),
    "second_factor_added": EmailCopy(
        "An authenticator app was added to your account",
        (
            Part(
                "why",
                "An authenticator app was added to your account {user_id} on {changed_at}. From now on, we ask for "
                "a code from it when you sign in. You've been signed out on all other devices.",
            ),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. A new password alone doesn't "
                "remove the app:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "second_factor_removed": EmailCopy(
        "The authenticator app was removed from your account",
        (
            Part(
                "why",
                "The authenticator app was removed from your account {user_id} on {changed_at}. We don't ask for "
                "its codes any more. You've been signed out on all other devices.",
            ),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "second_factor_failed": EmailCopy(
        "Someone typed wrong codes for your account",
        (
            Part(
                "why",
                "Someone got through the first step of signing in to your account {user_id}, and then typed five "
                "wrong codes of the authenticator app, the last one on {changed_at}. They didn't get in.",
            ),
            Part("fine", "If this was you, wait a while and try again. Check that the time on your phone is right."),
            Part(
                "not_you",
                "If this wasn't you, someone may know your password. Set a new one here:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "second_factor_lost": EmailCopy(
        "Your authenticator app will be removed. You can stop it",
        (
            Part(
                "why",
                "Someone got through the first step of signing in to your account {user_id}, and told us that they "
                "can't use its authenticator app any more.",
            ),
            Part(
                "link",
                "We'll remove the app in 72 hours. If you don't want that, you can stop it here:",
                shows="link",
                button="Keep the app",
            ),
            CODE_THERE,
            FINE,
            SAFETY,
        ),
    ),
    "passkey_copied": EmailCopy(
        "A passkey of your account may have been copied",
        (
            Part(
                "why",
                "Somebody signed in to your account {user_id} on {changed_at} with a passkey that may have been "
                "copied: it has counted fewer sign-ins than we have.",
            ),
            Part("fine", "If you've restored a device or password manager from a backup, this can be harmless."),
            Part(
                "not_you",
                "If you don't know why, remove the passkey. If you can't sign in any more, set a new password "
                "here and contact us:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "passkey_only": EmailCopy(
        "Only your passkeys sign in to your account now",
        (
            Part(
                "why",
                "Since {changed_at} only a passkey signs in to your account {user_id}. Your password is gone, and "
                "no email from us lets anyone in. You've been signed out on all other devices.",
            ),
            Part(
                "fine", "If this was you, you don't need to do anything. Keep at least two devices with your passkeys."
            ),
            Part(
                "not_you",
                "If this wasn't you, contact us at once. With a passkey you can change it back:",
                shows="link",
                button="Sign in",
            ),
        ),
    ),
    "passkey_only_ended": EmailCopy(
        "There are other ways to sign in to your account again",
        (
            Part(
                "why",
                "Since {changed_at} your account {user_id} can be signed in to without a passkey again: with an "
                "emailed code, or with a new password.",
            ),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new passkeys and "
                "signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "weaker_sign_in": EmailCopy(
        "Someone signed in to your account without your passkey",
        (
            Part(
                "why",
                "Somebody signed in to your account {user_id} on {changed_at} with a password or an emailed code, "
                "although it has a passkey.",
            ),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new passkeys and "
                "signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "number_added": EmailCopy(
        "A telephone number was added to your account",
        (
            Part(
                "why",
                "A telephone number was added to your account {user_id} on {changed_at}. We can send codes to "
                "it by text message.",
            ),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new telephone "
                "numbers and signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
    "number_removed": EmailCopy(
        "A telephone number was removed from your account",
        (
            Part("why", "A telephone number was removed from your account {user_id} on {changed_at}."),
            Part("fine", "If this was you, you don't need to do anything."),
            Part(
                "not_you",
                "If this wasn't you, set a new password here and contact us. That removes new telephone "
                "numbers and signs out all devices:",
                shows="link",
                button="Choose a new password",
            ),
        ),
    ),
}
