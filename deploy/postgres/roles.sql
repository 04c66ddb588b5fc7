-- The database and its four roles, for psql as a superuser:
--   psql -v owner_password=… -v service_password=… -v eraser_password=… -f roles.sql
-- milepost_owner owns the schema and runs the migrations; milepost_service is what the services are, and gets its rights from them;
-- milepost_eraser erases athletes, and nobody else may; milepost_reader, which logs in nowhere, is what the services become to read one
-- tenant's rows.
-- Collation C: texts sort by code point, the same on every machine and in every version.
CREATE ROLE milepost_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE milepost_service LOGIN PASSWORD :'service_password';
CREATE ROLE milepost_eraser LOGIN PASSWORD :'eraser_password';
CREATE ROLE milepost_reader NOLOGIN;
GRANT milepost_reader TO milepost_service;
CREATE DATABASE milepost OWNER milepost_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE milepost FROM PUBLIC;
GRANT CONNECT ON DATABASE milepost TO milepost_service, milepost_eraser;
-- For `milepost erasures scrub`, which leaves no old byte in the write-ahead log, and says who holds some.
GRANT pg_checkpoint, pg_read_all_stats TO milepost_owner;
\connect milepost
GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO milepost_owner;
