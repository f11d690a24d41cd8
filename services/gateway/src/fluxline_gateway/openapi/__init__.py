"""The OpenAPI document, made by rule from the routes."""
