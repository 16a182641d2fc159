"""Whether a version of the log is fit to train on: its newest day against the 14 before it.

`windows` says what a day is, `tally` counts a stream of events in bounded memory, `usual` and `drift` are the maths,
`rules` turn counts into findings, and `check` puts them together over the EventLog port. No tensors here.
"""
