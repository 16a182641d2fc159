"""Decides when: the nightly chain train, gate, promote. Knows no model maths; training runs in a process of its own."""
