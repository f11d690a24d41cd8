"""Makes servers ready for the services: `python -m fluxline_cli.deployment.prepare`, on every deployment, before them.

Roles, schemas and migrations in PostgreSQL (DATABASE_URL, the superuser's, and DATABASE_URL_<ROLE>), streams and
consumers in NATS (NATS_URL, the operator's), and the bucket. Safe to run any number of times.
"""

import asyncio
import os
from contextlib import closing
from typing import Final

from botocore.exceptions import ClientError

from fluxline.runtime.nats_tls import client_tls
from fluxline.runtime.provision import provision
from fluxline.runtime.settings import ServiceSettings, load, required_value_of
from fluxline.storage.s3_clients import make_clients
from fluxline.storage.settings import StorageSettings
from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.prepare import prepare

_THERE: Final = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(settings: StorageSettings) -> None:
    """Make the bucket if it does not exist; nothing for a storage without one."""
    if settings.r2_endpoint is None or settings.r2_bucket is None:
        return
    keys = [key.get_secret_value() for key in (settings.r2_access_key_id, settings.r2_secret_access_key) if key]
    client, checker = make_clients(settings.r2_endpoint, keys[0], keys[1], "us-east-1")
    with closing(client), closing(checker):
        try:
            client.create_bucket(Bucket=settings.r2_bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THERE:
                raise


async def _prepare(settings: ServiceSettings) -> None:
    roles = {role: required_value_of(f"DATABASE_URL_{role.upper()}") for role in ROLES}
    await prepare(required_value_of("DATABASE_URL"), roles)
    print("PostgreSQL: roles, schemas and migrations are there")
    tls = client_tls(settings.nats_ca_file)
    await provision(settings.nats_url, tls=tls, replicas=settings.nats_replicas)
    print("NATS: streams and consumers are there")


def main() -> None:
    """Make everything ready, or end with what is wrong."""
    asyncio.run(_prepare(load(ServiceSettings)))
    if os.environ.get("PREPARE_BUCKET") == "true":
        make_bucket(load(StorageSettings))
        print("storage: the bucket is there")


if __name__ == "__main__":
    main()
