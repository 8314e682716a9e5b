"""Events: what happened here, written in the transaction of the change, and the feed that other services read.

An event holds ids, codes and counts, and no personal data but the User ID. A sealer gives committed events a gap-free
`position` and a `seal`, a hash chained over everything before. Feed and audit read the same chain.

`data.py` holds the members of each event type's data: it checks and formats what actions record, and describes it in
the contract. `views.py` shows events as a caller may see them.

Events are never changed or removed: the application's role lacks the privilege, and a trigger refuses it to every role.
"""
