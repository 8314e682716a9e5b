"""Resets: a new password, or the first one, by proving the mailbox.

asked → mailed → opened → used, or expired. An unknown address gets a letter too ("there is no account with this
address"), through the same rows and statements, so the page that shows the letter's way tells a stranger nothing.
Asking never ends a link. Only the POST with the new password spends one, once; after it every older session and
everything proven before is over, and a notice tells every address that counts.
"""
