"""Where a night's training runs: each launcher takes the same task with the same arguments, as `Children` says.

What came of a training says the registry, whatever machine it ran on; a launcher says only that it ended.
"""
