"""Serving: candidate generation, the result cache, the model slot, and in `rpc/` a thin gRPC edge. Imports no torch."""
