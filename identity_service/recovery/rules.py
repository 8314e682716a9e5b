"""Limits and errors of recovery. Pure."""

from datetime import timedelta
from typing import Final, Literal

from identity_service.errors import Conflict, Forbidden, Problem

Action = Literal["password", "passkey", "address", "support_code"]
ACTIONS: Final = ("password", "passkey", "address", "support_code")
LIFETIME: Final = timedelta(minutes=15)
SETTLED: Final = timedelta(hours=72)
"""How long an address must have been on an account before reading it counts as a second proof."""
OWN_CODE: Final = "/me/recovery-code"
PER_NETWORK: Final = "30/hour; 100/day"
CODES_PER_ACCOUNT: Final = "5/hour"


class NotRecovering(Problem):
    """Please enter your User ID and recovery code again. This page is open for fifteen minutes, and for one change."""

    status = 401
    leads_to = "/recover"


class SecondProofNeeded(Forbidden):
    """Your account has a second way to prove that it's yours. Give that proof first."""


class NoSecondProof(Conflict):
    """We can't email you a code: the account has no address that was confirmed more than three days ago. Contact us."""


class NoAddressForPassword(Conflict):
    """You sign in with an address and a password, and this account has no address. Add a passkey or an address."""
