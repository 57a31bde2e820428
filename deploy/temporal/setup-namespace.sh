#!/bin/sh
# Creates the namespace, or sets its retention when it exists, and registers the search attributes
# that Teller's workflows set. It can run again at any time. The image temporalio/admin-tools runs it
# once the server is up; it is plain sh because that image has no bash.
# The temporal CLI reads TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE by itself.
set -eu

: "${TEMPORAL_ADDRESS:?}" "${TEMPORAL_NAMESPACE:?}"
# How long the history of an ended workflow stays: the time in which a repeated Idempotency-Key finds
# its turn, and in which the Web UI shows it. It holds the customers' text, so not for ever.
retention="${TEMPORAL_RETENTION:-7d}"

# A server that has just opened its port still loads its shards.
tries=0
until temporal operator cluster health >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -ge 60 ]; then
		echo "no healthy Temporal server at $TEMPORAL_ADDRESS" >&2
		temporal operator cluster health
		exit 1
	fi
	sleep 1
done

if temporal operator namespace describe >/dev/null 2>&1; then
	temporal operator namespace update --retention "$retention"
else
	temporal operator namespace create --retention "$retention"
fi

# Servers learn of a new namespace a few seconds late.
tries=0
until temporal operator search-attribute create \
	--name TellerModel --type Keyword \
	--name TellerConversation --type Keyword \
	--name TellerTenant --type Keyword \
	--name TellerOutcome --type Keyword \
	--name TellerLatencyMs --type Int; do
	tries=$((tries + 1))
	if [ "$tries" -ge 30 ]; then
		exit 1
	fi
	sleep 1
done
