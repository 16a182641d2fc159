"""Nightjar for Python: send events with EventProducer, ask for recommendations with RecommenderClient."""
