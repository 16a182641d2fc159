"""Generated from proto/nightjar/v1; see `make proto`."""
