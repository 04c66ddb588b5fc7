-- The database and its two roles, for psql as a superuser:
--   psql -v owner_password=… -v service_password=… -f roles.sql
-- milepost_owner owns the schema and runs the migrations; milepost_service is what the services are, and gets its rights from them.
-- Collation C: texts sort by code point, the same on every machine and in every version.
CREATE ROLE milepost_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE milepost_service LOGIN PASSWORD :'service_password';
CREATE DATABASE milepost OWNER milepost_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE milepost FROM PUBLIC;
GRANT CONNECT ON DATABASE milepost TO milepost_service;
