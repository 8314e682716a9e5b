"""Events: what happened here, written in the transaction of the change, and the feed that other services read.

An event holds ids, codes and counts; nothing personal but the User ID. A sealer gives committed events their place: a
gap-free `position`, and a seal that chains a hash over everything before. Feed and audit read the same chain.

Events are never changed or removed; the application's role cannot, and a trigger refuses it to everybody.
"""
