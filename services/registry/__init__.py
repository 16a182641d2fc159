"""Which model may serve and which one does: the gate, promotion, rollback.

The public entry is `gate` and `promotion`, plain functions over the registry's port; `wiring` opens the real one.
"""
