"""What is generated from the gateway's routes: the OpenAPI document, a reference to read, types for TypeScript."""
