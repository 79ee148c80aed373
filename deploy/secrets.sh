#!/bin/sh
# Passwords for compose.yaml, once: deploy/secrets.sh >>.env
set -eu
for name in POSTGRES_PASSWORD CASHMAN_OWNER_PASSWORD CASHMAN_SERVICE_PASSWORD CASHMAN_BOOTSTRAP_KEY; do
    printf '%s=%s\n' "$name" "$(openssl rand -hex 32)"
done
