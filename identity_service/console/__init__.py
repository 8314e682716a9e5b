"""The console: what a desk needs while a caller waits. A desk tool can do the same over REST, except for two things
that only console users may do: approve what another person requested, and search what staff did.

staff   a person with a role (clerk, lead, auditor), a password and a one-time code, or passkeys (`passkeys.py`);
        signing in needs no email
"""
