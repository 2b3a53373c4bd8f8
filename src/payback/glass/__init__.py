"""What the sweep can tell: the payments that make up a gradient, the paths it replaces, and their story.

`explain` runs a function and returns the `ledger` of its gradient: `accounts` and payments, kept apart, and added up
again by `check`.  `paths` are the routes that the sweep did not have to walk, `expand` (with `entries`) goes down to
single numbers, `inside` into loops and calls, and `names` says what nodes are called.  `why_nan` (in the words of
`origins`) and `why_zero` answer those two questions; `blame` (with `samples`), `flow`, `cost` and `step` the others.
`story` and `text` tell it in sentences and tables, `record` writes it down as data.
"""

from payback.glass.accounts import Account, Edge, LedgerError, Pays, Race, Settles
from payback.glass.ledger import Ledger
from payback.glass.paths import Path, Paths

__all__ = ["Account", "Edge", "Ledger", "LedgerError", "Path", "Paths", "Pays", "Race", "Settles"]
