"""How boto3 is set up for Cloudflare R2 and every other S3: clients, timeouts, transfers in parts."""

from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from s3transfer.futures import TransferFuture
from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRANSFER_THREADS = 4
CONNECTIONS = 16
PART_BYTES = 16 << 20
"""From this size on a file travels in parts; R2 wants 5 MiB–5 GiB, all equal but the last."""


def make_clients(endpoint: str, access_key_id: str, secret: str, region: str) -> tuple["S3Client", "S3Client"]:
    """A client for work, which retries, and one for readiness checks, which answers within seconds."""
    session = Session(access_key_id, secret, region_name=region)
    work = _config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
    check = _config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
    return (
        session.client("s3", endpoint_url=endpoint, config=work),
        session.client("s3", endpoint_url=endpoint, config=check),
    )


def make_transfers(client: "S3Client") -> TransferManager:
    """Files in and out on a few threads, whatever the number of callers."""
    limits = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_request_concurrency=TRANSFER_THREADS,
        max_submission_concurrency=1,
    )
    return TransferManager(client, limits)


class Pinned(BaseSubscriber):
    """Makes a download take exactly the version that was looked at, or fail when it was replaced."""

    def __init__(self, size_bytes: int, etag: str) -> None:
        self._size_bytes, self._etag = size_bytes, etag

    def on_queued(self, future: TransferFuture, **_: Any) -> None:
        """Called by s3transfer before the first request."""
        future.meta.provide_transfer_size(self._size_bytes)
        future.meta.provide_object_etag(self._etag)


def _config(**options: Any) -> Config:
    """SigV4, and no checksums beyond what S3 requires: R2 refuses boto3's default ones as unauthorized."""
    return Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=CONNECTIONS,
        **options,
    )
