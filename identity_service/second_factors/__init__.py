"""The second factor of customers: one-time codes of an authenticator app (TOTP, RFC 6238).

`totp.py` makes seeds and finds the time step of a code, for customers and staff; `actions.py` keeps the factors, and
counts and uses up their codes. Where a sign-in asks for one is in `sign_in`, the page of one's own in `portal`.
"""
