"""Recovery: what a customer may do with User ID and recovery code, at `/recover`.

A code that matches begins a session of its own, of fifteen minutes, for one of: a new password, a passkey, an address,
a support code; then it is over (REC-24). Where the account has a second factor or a passkey that counts as two, the
code opens only the demand for a second proof of another kind, and is not used up before that is given (REC-25, NIST SP
800-63B-4, 4.2.2.2).
"""
