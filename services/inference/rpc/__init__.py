"""The gRPC edge of serving: wire types in, wire types out, nothing decided here."""
