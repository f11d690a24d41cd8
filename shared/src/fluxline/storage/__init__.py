"""Files behind one small interface: a folder of this machine, or any S3 (Cloudflare R2). Nothing else knows which."""

from fluxline.storage.errors import (
    InvalidKey,
    ObjectMissing,
    ObjectTooLarge,
    SignatureExpired,
    SignatureInvalid,
    SizeMismatch,
    StorageDenied,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageRefused,
    StorageThrottled,
    StorageTimeout,
    StorageUnreachable,
)
from fluxline.storage.interface import Storage, StoredObject
from fluxline.storage.keys import validate_key, validate_prefix
from fluxline.storage.settings import StorageSettings, make_storage

__all__ = [
    "InvalidKey",
    "ObjectMissing",
    "ObjectTooLarge",
    "SignatureExpired",
    "SignatureInvalid",
    "SizeMismatch",
    "Storage",
    "StorageDenied",
    "StorageError",
    "StorageFailed",
    "StorageFull",
    "StorageRefused",
    "StorageSettings",
    "StorageThrottled",
    "StorageTimeout",
    "StorageUnreachable",
    "StoredObject",
    "make_storage",
    "validate_key",
    "validate_prefix",
]
