"""Files of events straight into the offline log: mapped, judged as the stream's records are, and exactly once.

Not by way of Kafka: whole Arrow tables are appended, ten times as fast. Serving knows nothing of them until
`nightjar features rebuild`.
"""
