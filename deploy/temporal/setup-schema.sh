#!/bin/sh
# Creates or upgrades Temporal's two databases in PostgreSQL. It can run again at any time: a schema
# that is up to date stays as it is. The image temporalio/admin-tools runs it before each server
# start; it is plain sh because that image has no bash.
# temporal-sql-tool reads SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD by itself.
set -eu

: "${SQL_HOST:?}" "${SQL_USER:?}" "${SQL_PASSWORD:?}"
schemas="${TEMPORAL_SCHEMAS:-/etc/temporal/schema/postgresql/v12}"

setup() {
	database="$1" schema="$2"
	temporal-sql-tool --database "$database" create-database
	# Makes the tables that record the version, unless they are there.
	temporal-sql-tool --database "$database" setup-schema --version 0.0
	temporal-sql-tool --database "$database" update-schema --schema-dir "$schemas/$schema/versioned"
}

setup temporal temporal
setup temporal_visibility visibility
