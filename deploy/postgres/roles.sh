#!/bin/sh
# Runs once, in an empty database folder: the owner, who migrates, and the application's role, which may far less.
# Their passwords are those of the URLs, so that each stands in one place.
set -eu
password() { sed -E 's|^[^:]+://[^:]+:([^@]+)@.*|\1|' "/run/secrets/$1"; }

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --set "owner=$(password database_owner_url)" --set "application=$(password database_url)" <<'SQL'
CREATE ROLE identity_owner LOGIN PASSWORD :'owner';
CREATE ROLE identity_app LOGIN PASSWORD :'application';
CREATE DATABASE identity OWNER identity_owner;
REVOKE ALL ON DATABASE identity FROM PUBLIC;
GRANT CONNECT ON DATABASE identity TO identity_app;
SQL
touch "${ROLES_DONE:-/var/lib/postgresql/roles.done}"
