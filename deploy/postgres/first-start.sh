#!/bin/sh
# Run once by the PostgreSQL image when its volume is empty; passwords come from the environment.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set owner_password="$OWNER_PASSWORD" --set service_password="$SERVICE_PASSWORD" --set eraser_password="$ERASER_PASSWORD" --file /milepost/roles.sql
