# Every module is checked and tested by its own go.mod, as its users build it;
# go.work is for editors.
export GOWORK := off

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULES := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/testdata/*' -not -path './tools/*' | sort))
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod

# The build tag that makes protections switchable.
CONTROLS := querycache_controls
# What a test tells, without the names of those that pass.
TELL := grep -v -e '^=== ' -e '^ *--- PASS'

RACE_COUNT ?= 1
FUZZTIME ?= 10s
BENCH ?= .
BENCH_COUNT ?= 6

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  %-14s %s\n' "$$name" "$$what"; done

.PHONY: check
check: tidy-check tree-check ## vet, lint, formatting, go.mod files, what the tree names
	@for m in $(MODULES); do \
		echo "== $$m: vet and lint"; \
		(cd $$m && go vet ./... && $(TOOL) golangci-lint run --config=$(CURDIR)/.golangci.yml ./...); \
	done
	@echo "== .: vet and lint with $(CONTROLS)"
	@go vet -tags=$(CONTROLS) ./... && $(TOOL) golangci-lint run --build-tags=$(CONTROLS) ./...

.PHONY: test
test: controls ## every test of every module, and the negative controls
	@for m in $(MODULES); do echo "== $$m: test"; (cd $$m && go test ./...); done

.PHONY: controls
controls: ## each protection of the core switched off in turn, and seen to be needed
	@go test -tags=$(CONTROLS) -run='^TestControls' -v . | $(TELL)
	@cd internal/enginetest && go test -tags=$(CONTROLS) -v ./... | $(TELL)

.PHONY: race
race: ## the same under the race detector (RACE_COUNT=1)
	@for m in $(MODULES); do echo "== $$m: race"; (cd $$m && go test -race -count=$(RACE_COUNT) ./...); done

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME=10s
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do \
			echo "== $$dir $$f"; \
			(cd $$dir && go test -run='^$$' -fuzz="^$$f\$$" -fuzztime=$(FUZZTIME) .); \
		done; \
	done

.PHONY: bench
bench: ## hit, miss, bypass and write as ratios to the direct and to a no-op driver
	cd internal/benchmarks && go run ./cmd/ratios

.PHONY: bench-compare
bench-compare: ## benchmarks against the commit REF= (BENCH=. BENCH_COUNT=6)
	@.ci/bench-compare "$(REF)" "$(BENCH)" "$(BENCH_COUNT)"

.PHONY: cover
cover: ## statement coverage of the core by all of its tests
	@profile=$$(mktemp); trap 'rm -f "$$profile"' EXIT; \
	go test -coverpkg=./... -coverprofile="$$profile" ./... && go tool cover -func="$$profile"

.PHONY: tidy-check
tidy-check: ## fail where go mod tidy or go mod verify would complain
	@for m in $(MODULES) tools; do echo "== $$m: tidy"; (cd $$m && go mod tidy -diff && go mod verify >/dev/null); done
	@for m in $(MODULES); do \
		go work edit -json go.work | grep -q "\"DiskPath\": \"$$m\"" || { echo "go.work does not use $$m"; exit 1; }; \
	done

.PHONY: tree-check
tree-check: ## fail where the tree names a machine path or a registry host
	@.ci/tree-check

.PHONY: suites
suites: ## sqlx's and go-sqlite3's own tests, direct and through the cache
	go run ./internal/suites

.PHONY: scenarios
scenarios: ## which documented behaviour has which test, by number, and why others have none
	@go test -count=1 -v -run='^TestScenarioList$$' .
