# What a newcomer needs: make run. What a developer needs: make test lint e2e bench.

# Go finds test results of another checkout's files in its cache without this.
export GOFLAGS := -buildvcs=false
VERSION ?= dev
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: run build image assets test lint bench bench-proxy e2e clean

run: build ## build kiosc and start it on the local Docker Engine
	exec bin/kiosc dev

build: assets ## leaves bin/kiosc, which needs no file of the system's, also for time zones
	CGO_ENABLED=0 go build -tags timetzdata -trimpath -ldflags '-s -w -X kiosc/manager/cli.Version=$(VERSION)' -o bin/kiosc .

image: build ## the Docker image kiosc:$(VERSION), for deploy/docker/compose.yaml
	deploy/docker/build kiosc:$(VERSION)

assets: webui/assets/dist/manifest.json ## the web pages' scripts and styles, from npm

webui/assets/dist/manifest.json: webui/frontend/package-lock.json $(shell find webui/frontend/src -type f 2>/dev/null) $(wildcard webui/frontend/*.mjs webui/frontend/package.json)
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js 18 or newer to build the web pages' >&2; exit 1; }
	cd webui/frontend && npm ci --no-audit --no-fund && npm run build

test: ## unit and integration tests, with a real Docker Engine; never from the cache
	@docker version >/dev/null 2>&1 || { echo 'make test needs a Docker Engine: none answers. Start one, or see "docker version".' >&2; exit 1; }
	go run ./deploy/testbed/gotest -race -count 1 -timeout 10m ./...
	go run ./deploy/testbed/gotest -count 1 -timeout 10m ./manager/matrix # whole; under the race detector a tenth of it

e2e: build ## the real program in a real browser
	deploy/testbed/need-browser
	deploy/testbed/need-proxies
	deploy/testbed/need-apps
	deploy/testbed/need-slapd
	deploy/testbed/need-registry
	deploy/testbed/need-deploy
	go run ./deploy/testbed/gotest -tags e2e -count 1 -timeout 20m ./deploy/testbed/e2e ./manager/ldap

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l . >&2; echo 'gofmt these files' >&2; exit 1; }
	go vet ./...
	go vet -tags e2e ./...
	go run $(STATICCHECK) ./...
	@out=$$(go run $(GOVULNCHECK) ./... 2>&1) && echo "govulncheck: nothing found" || { \
		case $$out in *"dial tcp"*|*"no such host"*|*"Forbidden"*|*"fetching vulnerabilities"*) \
			echo 'govulncheck: the vulnerability database is not reachable; skipped';; \
		*) echo "$$out"; exit 1;; esac; }

bench: ## benchmarks; they measure and assert nothing. With etcd installed, its writes are measured beside ours
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...
	go run ./deploy/bench/consensus writes logs failover snapshot
	go run ./deploy/bench/consensus --log wal writes logs

bench-proxy: ## the proxy beside nginx, HAProxy and Caddy; takes under three minutes
	@deploy/bench/need-anchors
	@docker version >/dev/null 2>&1 || { echo 'make bench-proxy needs a Docker Engine: none answers. Start one, or see "docker version".' >&2; exit 1; }
	CGO_ENABLED=0 go build -o bin/bench-proxy ./deploy/bench/proxy
	bin/bench-proxy

clean:
	rm -rf bin e2e-artifacts
