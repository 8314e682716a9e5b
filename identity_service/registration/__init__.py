"""Issue a User ID, by email address or by nothing, and confirm the address.

`restoration.py` registers accounts that a restore has lost again, under the User IDs that they had.
"""
