#!/bin/sh
# Makes the secrets that compose.yaml names, each in a file of its own; what is there already stays as it is.
# The folder is closed; the files in it can be read by the service's user, which is not yours.
set -eu
host="${1:?the host name that customers see, like id.example.com}"
# Without it, what follows would write empty secrets, and keep them.
command -v openssl > /dev/null || { echo "openssl is needed here, and is not installed." >&2; exit 1; }
secrets="$(cd "$(dirname "$0")" && pwd)/secrets"
umask 022
mkdir -p "$secrets"
chmod 700 "$secrets"
cd "$secrets"

random() { openssl rand -hex 24; }
keep() { [ -e "$1" ] || cat > "$1"; }
at='/identity?host=/var/run/postgresql'

random | keep superuser_password
echo "postgresql://identity_app:$(random)@$at" | keep database_url
echo "postgresql://identity_owner:$(random)@$at" | keep database_owner_url
openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n' | keep master_key
echo '[{"name": "first", "host": "relay.example.com", "port": 465, "tls": "implicit", "username": "you", "password": "x"}]' |
  keep relays
# Signed by itself, so that everything starts; put your own in its place before anybody else comes.
[ -e tls_key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj "/CN=$host" \
  -addext "subjectAltName=DNS:$host" -keyout tls_key -out tls_certificate 2>/dev/null
echo "Made in $secrets. Write your relays into 'relays', your certificate into 'tls_certificate' and 'tls_key'."
