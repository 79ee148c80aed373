"""Who makes a request, and what that lets them do."""

from dataclasses import dataclass
from typing import Final

from cashman.changes import OWNER
from cashman.ledger import OWN_LEDGER
from cashman.model.access import ROLES, SCOPES


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a request."""

    principal: str
    """Whom ledgers and idempotency keys belong to."""
    actor: str
    """Who the journal says it was."""
    user_id: str | None = None
    session_id: str | None = None
    key_id: str | None = None
    """The API key that the request was made with."""
    admin: bool = False
    """Whether it is for them to say who else may come in."""
    scope: str = SCOPES[-1]
    home: int = OWN_LEDGER
    """The ledger that unprefixed routes mean."""
    only_home: bool = False
    """Whether that is the only one they may use, and nothing beside it."""

    def may_as(self, role: str, needed: str) -> bool:
        """Whether a role in a ledger is enough for what needs another, within the scope."""
        return min(ROLES.index(role), SCOPES.index(self.scope)) >= ROLES.index(needed)

    def may_scope(self, needed: str) -> bool:
        """Whether the scope is wide enough for what is in no ledger."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


OPEN_DOOR: Final = Caller(OWNER, OWNER)
"""Whoever comes in by the open door; it is not for them to say who else may."""
BOOTSTRAP: Final = Caller(OWNER, "bootstrap", admin=True)
"""Whoever has the key that the settings give."""
