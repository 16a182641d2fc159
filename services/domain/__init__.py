"""The field's words as types, the typed errors, and the ports. Standard library and numpy only."""
