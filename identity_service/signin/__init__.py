"""Signing in: a customer's session, by password or by a code that was mailed.

A session is a row behind a random cookie; the table holds its hash. It ends after twelve hours, when it is ended, and,
without anybody touching it, when the account's `sessions_valid_after` has passed it or the account is closed. Signing
in by mail is below AAL1 (NIST SP 800-63B-4, 3.1.3.1); a setting turns it off, and staff never sign in by it.
"""
