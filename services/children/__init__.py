"""Child processes that are never left behind: tied to their parent, and ended with everything they started."""
