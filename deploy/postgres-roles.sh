#!/bin/bash
# Run once by the image of PostgreSQL, on a new and empty database: the role that owns the schema (cashman_owner, for
# `cashman migrate`), the one that serves (cashman), and their database. It is sourced, so it sets nothing.
psql --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set owner="${CASHMAN_OWNER_PASSWORD:?is not set}" --set service="${CASHMAN_SERVICE_PASSWORD:?is not set}" <<'SQL'
CREATE ROLE cashman_owner LOGIN PASSWORD :'owner';
CREATE ROLE cashman LOGIN PASSWORD :'service';
-- Longer than an export may pause: whoever says nothing for so long in a transaction is gone.
ALTER ROLE cashman SET idle_in_transaction_session_timeout = '16min';
CREATE DATABASE cashman OWNER cashman_owner;
REVOKE ALL ON DATABASE cashman FROM PUBLIC;
GRANT CONNECT ON DATABASE cashman TO cashman;
SQL
