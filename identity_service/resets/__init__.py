"""Resets: set a new password, or the first one, by proving the mailbox.

asked → mailed → opened → used, or expired. An unknown address gets an email too ("there is no account with this
address"), through the same rows and statements, so the tracking page does not reveal whether there is an account.
A new request does not invalidate older links. Only the POST with the new password consumes a link, once; it ends all
older sessions and revokes all older tokens, and a notice is sent to the address on file.
"""
