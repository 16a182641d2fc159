"""The way in over gRPC: EventService, a process of its own, so that a flood of events never slows answers down."""
