"""An S3 server of our own, on this machine: SeaweedFS, started and stopped by the test that wants it."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gateway.config import S3
from tests.federation import ports

HOST = "127.0.0.1"
BUCKET = "evidence"
KEY_ID, SECRET = "rogatory-test", "a secret of no worth"
START_SECONDS = 60.0
ATTEMPTS = 5


@asynccontextmanager
async def bucket(folder: Path) -> AsyncIterator[S3]:
    """Run a server with one empty bucket; yield the settings of a node that uses it."""
    process, settings = await _running(folder)
    try:
        yield settings
    finally:
        # All that it has is this test's, and it takes half a minute to take leave of itself.
        process.kill()
        process.wait()


async def _running(folder: Path) -> tuple[subprocess.Popen[bytes], S3]:
    """Start it; it takes eight ports, and somebody else on this machine may have been quicker with one."""
    for attempt in range(ATTEMPTS):
        process, settings = _start(folder / f"{attempt}")
        if await _is_ready(process, settings):
            return process, settings
    raise AssertionError("the S3 server has ended each time")


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], S3]:
    (folder / "data").mkdir(parents=True)
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    access = folder / "s3.json"
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": KEY_ID, "secretKey": SECRET}]
    access.write_text(json.dumps({"identities": [{"name": "node", "credentials": credentials, "actions": rights}]}))
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = ports(8)
    weed = Path(sys.executable).with_name("weed")
    with (folder / "weed.log").open("wb") as said:
        process = subprocess.Popen(
            [
                *(weed, "-logtostderr", "server", f"-dir={folder / 'data'}", f"-ip={HOST}", f"-ip.bind={HOST}"),
                *(
                    "-s3",
                    f"-s3.port={s3}",
                    f"-s3.port.grpc={s3_grpc}",
                    f"-s3.config={access}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                ),
                *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-volume.max=20"),
                *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}"),
                *(
                    f"-filer.port={filer}",
                    f"-filer.port.grpc={filer_grpc}",
                    "-master.volumeSizeLimitMB=64",
                    "-master.telemetry=false",
                ),
            ],
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    settings = S3(
        url=f"s3://{BUCKET}/files", endpoint=f"http://{HOST}:{s3}", access_key_id=KEY_ID, secret_key_file=secret
    )
    return process, settings


async def _is_ready(process: subprocess.Popen[bytes], settings: S3) -> bool:
    """Make the bucket, as soon as the server can; nothing else tells that it is ready. False: it has ended."""
    maker = S3Store(
        BUCKET,
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    port = int(settings.endpoint.rpartition(":")[2])
    async with asyncio.timeout(START_SECONDS):
        while True:
            if process.poll() is not None:
                return False
            try:
                with socket.create_connection((HOST, port), 1):
                    pass
                # An empty object makes the bucket too: the server takes a bucket for a folder.
                await obstore.put_async(maker, "ready", b"ready", use_multipart=False)
                await obstore.delete_async(maker, "ready")
            except (OSError, BaseError):
                await asyncio.sleep(0.2)
            else:
                return True
