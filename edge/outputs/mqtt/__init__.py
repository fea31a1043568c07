"""MQTT: topics, connection, queue of messages, Home Assistant discovery and the embedded broker."""
