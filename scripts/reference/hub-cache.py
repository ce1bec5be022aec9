#!/usr/bin/env python3
"""What huggingface_hub makes of a repository: hub-cache.py REPO

Fetches it, or reads the cache alone when HF_HUB_OFFLINE is set, and prints as JSON: the commit, SHA-256 of every file,
and the branches and warnings that a scan of the cache finds.
"""
import hashlib
import json
import sys
from pathlib import Path

from huggingface_hub import scan_cache_dir, snapshot_download

snapshot = Path(snapshot_download(sys.argv[1]))
files = sorted(path for path in snapshot.rglob("*") if path.is_file())
cache = scan_cache_dir()
[repository] = cache.repos
[revision] = repository.revisions
json.dump(
    {
        "commit": snapshot.name,
        "files": {str(path.relative_to(snapshot)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "refs": sorted(revision.refs),
        "warnings": [str(warning) for warning in cache.warnings],
    },
    sys.stdout,
)
