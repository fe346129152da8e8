"""The plant on MQTT. Nothing outside this package knows paho or amqtt."""
