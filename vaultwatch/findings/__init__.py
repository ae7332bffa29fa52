"""The alerts that `vaultwatch check` finds: which of them are shown, in which order, and how."""
