"""Kafka records to stored interactions, once in effect: decode, validate, dedupe, write, then commit."""
