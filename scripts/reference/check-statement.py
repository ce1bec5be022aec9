#!/usr/bin/env python3
"""Checks in-toto statements with SLSA provenance by in-toto's own library: check-statement.py FILE...

Every field must be one that the specifications know.
"""
import json
import sys
from pathlib import Path

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

for path in sys.argv[1:]:
    text = Path(path).read_text()
    statement = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    if any(not name for subject in statement.subject for name in subject.digest):
        sys.exit(f"{path}: a digest of the subject has no name")
    predicate = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
    if not predicate.build_definition.build_type or not predicate.run_details.builder.id:
        sys.exit(f"{path}: the predicate lacks a build type or a builder")
    for dependency in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(dependency).validate()
    print(statement.subject[0].name, len(predicate.build_definition.resolved_dependencies))
