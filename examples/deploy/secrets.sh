#!/bin/sh
# Makes the files of secrets/ that compose.yaml mounts; what is there stays.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
made() { [ -s "secrets/$1" ] || printf %s "$2" > "secrets/$1"; }
random() { python3 -c 'import secrets; print(secrets.token_urlsafe(24), end="")'; }
made postgres_password "$(random)"
made s3_password "$(random)"
password=$(cat secrets/postgres_password)
made mlflow_store "postgresql+psycopg://mlops:$password@postgres/mlflow"
made storage_database "postgresql://mlops:$password@postgres/mlops"
made study_storage "postgresql://mlops:$password@postgres/mlops"
made aws "[default]
aws_access_key_id = mlops
aws_secret_access_key = $(cat secrets/s3_password)
"
# The servers run as 1000, PostgreSQL and the store as themselves: whoever may read the folder is decided by its mode.
chmod 711 secrets
chmod 444 secrets/*
