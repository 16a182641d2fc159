"""The lists of all users at once, into files, by the same path that answers one."""
