#!/bin/sh
# A certificate of one's own, to try TLS with: deploy/certificate.sh [NAME [FOLDER]]
#
# Makes FOLDER (deploy/tls) with certificate.pem, which clients have to be told of (curl --cacert), and key.pem. A real
# certificate goes under the same names. The folder keeps others out; nginx, without any rights, reads the file itself.
set -eu
name=${1:-localhost}
folder=${2:-$(dirname -- "$0")/tls}
umask 077
mkdir -p "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name,IP:127.0.0.1" -addext 'basicConstraints=critical,CA:TRUE' \
    -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>/dev/null
chmod 644 "$folder/key.pem" "$folder/certificate.pem"
