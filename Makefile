# `make help` lists the targets. All of them but up and down need only git, GNU make and Go.

ifeq ($(shell command -v go),)
$(error Go is not installed, or not in PATH: https://go.dev/doc/install)
endif

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.NOTPARALLEL: # Go keeps all cores busy by itself, and the phases of a test run are to be told apart

# With the OpenCL backend a binary is linked with glibc, though not by a C compiler. Where there is no glibc it is static and does without.
tags := $(if $(wildcard /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1),-tags=opencl)
goflags := $(shell go env GOFLAGS) $(tags)

# Shared by what is built, vetted and linted: other flags would compile every dependency once more.
static  := CGO_ENABLED=0 GOFLAGS="$(goflags) -buildvcs=false -trimpath"
version := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What the tests run as users do.
binaries := TELLER_BIN="$(CURDIR)/bin/teller" TELLER_TEMPORAL_BIN="$(CURDIR)/bin/teller-temporal"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

# ---- build and run

.PHONY: build
build: bin/teller bin/teller-temporal ## build bin/teller and the embedded Temporal server, bin/teller-temporal

.PHONY: bin/teller # Go knows better than file times whether anything has changed
bin/teller:
	@$(static) go build -ldflags='-s -w -X main.version=$(version)' -o $@ ./cmd/teller

# Asking Go whether anything changed in these 400 modules takes seconds, so file times decide. With the plain flags,
# `go test` in embedded/ finds everything compiled.
embedded := $(filter-out %_test.go,$(wildcard embedded/*.go)) embedded/dynamicconfig.yaml embedded/go.mod embedded/go.sum
bin/teller-temporal: $(embedded)
	@echo 'Building the embedded Temporal server: the first time this takes several minutes (about 15 CPU-minutes) ...'
	@go build -C embedded -buildvcs=false -ldflags='-s -w' -o ../$@ .

.PHONY: run
run: build ## start everything on this machine: Temporal with its Web UI, the API, both workers; Ctrl-C stops it
	@exec bin/teller dev

.PHONY: up down
up: ## start the production services with Docker Compose (deploy/README.md)
	docker compose up --detach --build --wait
down: ## stop them; the data stays
	docker compose --profile '*' down

.PHONY: train
train: bin/teller ## train the custom model; ARGS='--help' shows how
	bin/teller train $(ARGS)

# ---- test

.PHONY: test test-unit test-embedded test-e2e
test: build vet test-unit test-embedded test-e2e ## everything: vet, unit, conformance, replay and end-to-end tests

.PHONY: vet
vet:
	@$(static) scripts/phase.sh 'go vet' go vet ./...

test-unit: ## the tests of all packages, with the race detector
	@scripts/phase.sh 'PostgreSQL for the tests' scripts/install-postgres.sh
	@scripts/phase.sh 'OpenCL for the tests' scripts/install-opencl.sh
	@GOFLAGS="$(goflags)" scripts/phase.sh 'unit tests' scripts/go-test.sh -timeout=5m $$(go list ./... | grep -v '^teller/e2e')

# Without -race, which would compile the whole Temporal server a second time to look into code that is not ours.
test-embedded: bin/teller-temporal ## the tests of the embedded Temporal server
	@$(binaries) scripts/phase.sh 'embedded server tests' go test -C embedded -timeout=5m ./...

# -count=1: what these test, real processes, Go's test cache does not see.
test-e2e: build ## real processes over real HTTP, killed in the middle of a turn
	@scripts/phase.sh 'clients for the tests' scripts/install-clients.sh
	@$(binaries) scripts/phase.sh 'end-to-end tests' scripts/go-test.sh -count=1 -timeout=10m ./e2e/...

.PHONY: chaos
chaos: build ## 200 conversations of 5 turns while processes are killed 30 times: none lost, doubled or out of order
	@$(binaries) TELLER_CHAOS=1 go test -count=1 -timeout=30m -v -run=TestNoTurnIsLost ./e2e

.PHONY: histories
histories: build ## record the workflow histories that the replay test reads anew, after a workflow was changed on purpose
	@$(binaries) TELLER_SAVE_HISTORIES="$(CURDIR)/workflows/testdata/histories" go test -count=1 -run=TestHistories ./e2e

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	@scripts/fuzz.sh $(FUZZTIME)

BENCH ?= .
.PHONY: bench bench-turn bench-stream bench-benchmark bench-floor
bench: ## run the benchmarks whose names match BENCH (all); bin/tools/benchstat compares two outputs
	go test -run='^$$' -bench='$(BENCH)' -benchmem ./...
bench-turn: build ## what the gateway adds to a turn, beside the floor of the same server
	@$(static) go run ./cmd/bench-turn $(ARGS)
bench-stream: build ## streamed turns: time to first token, turns a second, many streams at once
	@$(static) go run ./cmd/bench-turn --stream $(ARGS)
bench-benchmark: build ## what a benchmark's run adds to each of its cases; ARGS='--cases=100000' shows memory over one long run
	@$(static) go run ./cmd/bench-turn --suite $(ARGS)
bench-floor: bin/teller-temporal ## the embedded Temporal server alone, with nothing of Teller's on it
	$(binaries) go test -C embedded -run='^$$' -bench='$(BENCH)'

# ---- lint

# A linter must be built by the Go version whose code it reads, hence the version in the stamp's name.
tools := bin/tools/.$(shell go env GOVERSION)
$(tools): tools/go.mod tools/go.sum
	@echo 'Building the linters: the first time this takes some minutes ...'
	@rm -f bin/tools/.go*
	@$(static) go build -C tools -o ../bin/tools/ tool
	@touch $@

.PHONY: tools
tools: $(tools) ## build what tools/go.mod pins into bin/tools: golangci-lint, workflowcheck, govulncheck, benchstat

.PHONY: lint lint-code lint-embedded lint-workflows lint-vulnerabilities
lint: lint-code lint-embedded lint-workflows lint-vulnerabilities ## golangci-lint (holds the layout too), workflowcheck, govulncheck

lint-code: $(tools)
	@$(static) scripts/phase.sh 'golangci-lint' bin/tools/golangci-lint run ./...

# golangci-lint would read the source of the whole Temporal server to lint embedded/; go vet and the formatters do there.
lint-embedded: $(tools)
	@scripts/phase.sh 'format of embedded' bin/tools/golangci-lint fmt --diff embedded
	@scripts/phase.sh 'go vet of embedded' go vet -C embedded ./...

lint-workflows: $(tools)
	@$(static) scripts/phase.sh 'workflowcheck' bin/tools/workflowcheck ./...

lint-vulnerabilities: $(tools)
	@$(static) scripts/phase.sh 'govulncheck' scripts/govulncheck.sh

.PHONY: fmt
fmt: $(tools) ## format the code
	bin/tools/golangci-lint fmt ./... embedded

.PHONY: generate
generate: ## run every go:generate line
	go generate ./...

.PHONY: clean
clean: ## remove what was built; data under .teller stays
	rm -rf bin
