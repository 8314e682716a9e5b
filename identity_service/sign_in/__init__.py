"""Sign-in: a customer's session, by password or by an emailed code.

A session is a row that is found by the hash of a random cookie. It is over after twelve hours, when it is ended, when
it is older than the account's `sessions_valid_after`, and when the account is closed; the last two change no row.
Sign-in by email is below AAL1 (NIST SP 800-63B-4, 3.1.3.1); a setting turns it off, and staff cannot use it.
"""
