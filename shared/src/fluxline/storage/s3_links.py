"""Links to objects that are signed as of a given moment: boto3 signs as of now, and no two of its links are alike."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_OF_SIGNATURE = "X-Amz-"


class LinkSigner:
    """Signs links for GET with the keys of one account, as AWS Signature Version 4 has it for query strings."""

    def __init__(self, access_key_id: str, secret_access_key: str, region: str) -> None:
        self._credentials, self._region = Credentials(access_key_id, secret_access_key), region

    def sign(self, url: str, *, expires_s: int, signed_at: int) -> str:
        """The link, whatever signature it has, as if it had been signed then (Unix seconds)."""
        parts = urlsplit(url)
        asked = [part for part in parts.query.split("&") if part and not part.startswith(_OF_SIGNATURE)]
        request = AWSRequest("GET", urlunsplit(parts._replace(query="&".join(asked))))
        _SignedThen(self._credentials, self._region, expires_s, signed_at).add_auth(request)
        return str(request.url)


class _SignedThen(S3SigV4QueryAuth):
    """botocore's signature; all of it that depends on the time reads the timestamp of the request's context."""

    def __init__(self, credentials: Credentials, region: str, expires_s: int, signed_at: int) -> None:
        super().__init__(credentials, "s3", region, expires_s)
        self._timestamp = datetime.fromtimestamp(signed_at, UTC).strftime(SIGV4_TIMESTAMP)

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = self._timestamp
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # the stubs have public names only
