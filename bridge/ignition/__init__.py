"""The Ignition side: build, check and deploy the gateway project, and carry the tag map both ways."""
