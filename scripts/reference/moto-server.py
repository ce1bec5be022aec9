#!/usr/bin/env python3
"""An S3 server, moto, for tests, and what boto3 finds in it.

    moto-server.py serve

serves on a free port of 127.0.0.1 until its standard input ends. The first line it prints is JSON: `port`, and `key`, the
address of a key of KMS with the alias `alias/models`. There are the bucket `models` in eu-central-1, and `elsewhere` in
ap-south-1.

    moto-server.py users ADDRESS

has the server look at credentials and rights from then on, and prints two pairs of keys as JSON: `writer` may list the buckets
and read, write and remove objects; `uploader` may not read them.

    moto-server.py objects ADDRESS BUCKET KEY SECRET

prints every object as JSON, by key: SHA-256 of its bytes, metadata, content type, tags, storage class, encryption.
"""

import hashlib
import json
import os
import sys
import urllib.request

# What boto3 signs with before the server looks at it.
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="eu-central-1")
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)

import boto3
from botocore.config import Config


def client(service, address, **options):
    # moto tells checksums of uploads in parts without the number of parts, by which boto3 would take them for the whole's.
    config = Config(
        s3={"addressing_style": "path"}, retries={"max_attempts": 1}, response_checksum_validation="when_required"
    )
    return boto3.client(service, endpoint_url=f"http://{address}", config=config, **options)


def serve():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    address = f"127.0.0.1:{port}"
    s3 = client("s3", address)
    for bucket, region in (("models", "eu-central-1"), ("elsewhere", "ap-south-1")):
        regional = client("s3", address, region_name=region)
        regional.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    kms = client("kms", address)
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/models", TargetKeyId=key["KeyId"])
    assert {it["Name"] for it in s3.list_buckets()["Buckets"]} == {"models", "elsewhere"}
    print(json.dumps({"port": port, "key": key["Arn"]}), flush=True)
    sys.stdin.read()
    server.stop()


def users(address):
    iam = client("iam", address)
    objects = ["s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    listing = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    made = {}
    for user, actions in (("writer", [*listing, *objects, "s3:GetObject", "s3:GetObjectTagging"]), ("uploader", [*listing, *objects])):
        iam.create_user(UserName=user)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=document)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        made[user] = [key["AccessKeyId"], key["SecretAccessKey"]]
    # The number of requests after which the server looks.
    looking = {"data": b"0", "method": "POST", "headers": {"Content-Type": "text/plain"}}
    urllib.request.urlopen(urllib.request.Request(f"http://{address}/moto-api/reset-auth", **looking)).read()
    print(json.dumps(made))


def objects(address, bucket, key, secret):
    s3 = client("s3", address, aws_access_key_id=key, aws_secret_access_key=secret)
    found = {}
    for listed in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        name = listed["Key"]
        got = s3.get_object(Bucket=bucket, Key=name)
        tags = s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"]
        found[name] = {
            "sha256": hashlib.sha256(got["Body"].read()).hexdigest(),
            "metadata": got["Metadata"],
            "content_type": got["ContentType"],
            "tags": {tag["Key"]: tag["Value"] for tag in tags},
            "storage_class": got.get("StorageClass", "STANDARD"),
            "encryption": got.get("ServerSideEncryption"),
            "key": got.get("SSEKMSKeyId"),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    commands = {"serve": serve, "users": users, "objects": objects}
    commands[sys.argv[1]](*sys.argv[2:])
