"""Passkeys (WebAuthn Level 3): challenges, registered credentials, and the check of a response.

`responses.py` checks what a browser sends with the library `webauthn`, and what that library leaves to its caller;
`ceremonies.py` has what customers and staff have in common: challenges that are used once, and a response against its
stored key; `actions.py` keeps the passkeys of customers. Signing in with one is in `sign_in`, the list of one's own in
`portal`, and all of it for staff in `console`.
"""
