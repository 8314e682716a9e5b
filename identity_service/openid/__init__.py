"""Sign customers in at other applications: OpenID Connect Core 1.0 with authorization code and PKCE (RFC 7636).

An authorization request is stored when it is first seen, bound to the browser by a cookie, and judged anew whenever its
browser comes back (`rules.decide`), until it is answered once: with a code, or with an error. Whatever a client gets
hangs on one grant, which ends with its causes (`ending`), in the same transaction.
"""
