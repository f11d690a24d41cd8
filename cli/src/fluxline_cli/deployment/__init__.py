"""What a deployed system needs before its services: secrets, roles and schemas, streams, a bucket."""
