"""Passkeys of customers (WebAuthn Level 3): challenges, registered credentials, and the check of a response.

`responses.py` checks what a browser sends with the library `webauthn`, and what that library leaves to its caller;
`actions.py` keeps challenges and passkeys. Signing in with one is in `sign_in`, the list of one's own in `portal`.
"""
