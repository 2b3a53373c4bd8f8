"""What the sweep can tell: the payments that make up a gradient, the paths it replaces, and their story.

`ledger` keeps the payments of one sweep apart, `paths` walks the routes that it did not have to walk, `story` tells
both in sentences and `record` writes them down as data.
"""

from payback.glass.accounts import Account, Edge, LedgerError, Pays, Race, Settles
from payback.glass.ledger import Ledger
from payback.glass.paths import Path, Paths

__all__ = ["Account", "Edge", "Ledger", "LedgerError", "Path", "Paths", "Pays", "Race", "Settles"]
